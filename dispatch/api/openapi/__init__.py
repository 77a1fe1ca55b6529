"""The contract as an OpenAPI 3.1 document, made from the table of operations."""

from dispatch.api.openapi.document import document as document
from dispatch.api.openapi.document import text as text
from dispatch.api.openapi.parameters import QUERY_SCHEMAS as QUERY_SCHEMAS
