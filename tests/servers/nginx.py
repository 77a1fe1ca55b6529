"""An nginx before several servers, each in its turn: on a free port, in a temporary directory, ended by its pid."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

CONFIGURATION = """
daemon off;
master_process off;
pid {root}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {root}/body;
  proxy_temp_path {root}/proxied;
  fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi;
  scgi_temp_path {root}/scgi;
  upstream farm {{
{servers}
  }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 0;
    location / {{
      proxy_pass http://farm;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_read_timeout 1h;
      add_header X-Answered-By $upstream_addr always;
    }}
  }}
}}
"""


def program() -> str | None:
    return shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


def command(root: Path, port: int, servers: Sequence[str]) -> list[str]:
    """The words that run it, in the foreground and as one process. `servers` are HOST:PORT, taken in turn."""
    root.mkdir(parents=True)
    rows = "\n".join(f"    server {server} max_fails=0;" for server in servers)
    configuration = root / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(root=root, port=port, servers=rows))
    return [program() or "nginx", "-p", str(root), "-e", "stderr", "-c", str(configuration)]
