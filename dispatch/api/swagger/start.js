// A file of its own, because the page's policy runs no inline script. No online validator: the page works without a network.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#contract",
  validatorUrl: null,
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  filter: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  displayOperationId: true,
  persistAuthorization: false,
  supportedSubmitMethods: ["get", "put", "post", "delete", "options", "head", "patch"],
});
