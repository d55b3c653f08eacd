"""A dataset hub on loopback that answers huggingface_hub as the real hub does, and records the requests."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass
class Hub:
    """One repository. Large files (all here) are answered by a redirect to a second host, as the real hub does."""

    repo: str = "TIGER-Lab/MMEB-eval"
    kind: str = "datasets"
    """Or "models", whose files lie at the root of the hub."""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    main: str = ""
    gated: bool = False
    """Whether files need permission. The information about the repository needs none."""
    cut: int | None = None
    """Number of bytes after which the next download breaks off."""
    status: int | None = None
    """The HTTP status with which every request is answered, if any."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Sizes of files that are told instead of the true ones."""
    requests: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    offered: list[tuple[dict[str, str], list[dict[str, object]]]] = field(default_factory=list)
    """The parameters and the lines of each commit that was sent."""

    def __enter__(self) -> Hub:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def sizes_of(self, commit: str) -> dict[str, int]:
        return {name: len(data) for name, data in self.commits[commit].items()} | self.sizes

    def blob(self, digest: str) -> bytes:
        return next(
            data
            for files in self.commits.values()
            for data in files.values()
            if hashlib.sha256(data).hexdigest() == digest
        )


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests.append(f"{self.command} {path}")
        if hub.status:
            return self.reply(hub.status, {})
        if path.startswith("/cdn/"):
            return self.content(hub.blob(path.removeprefix("/cdn/")))
        root = "" if hub.kind == "models" else f"/{hub.kind}"
        if path.startswith(f"{root}/{hub.repo}/resolve/"):
            revision, _, name = path.split("/resolve/", 1)[1].partition("/")
            return self.resolve(revision, name)
        if path == f"/api/{hub.kind}/{hub.repo}" or path.startswith(f"/api/{hub.kind}/{hub.repo}/revision/"):
            sha = self.commit(path.split("/revision/")[1] if "/revision/" in path else "main")
            return self.information(sha) if sha else None
        if path.startswith(f"/api/{hub.kind}/{hub.repo}/tree/"):
            sha = self.commit(path.split("/tree/")[1])
            return self.tree(hub.commits[sha], recursive="recursive=true" in self.path.lower()) if sha else None
        return self.reply(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def do_POST(self) -> None:
        """Takes a commit of small files, as a pull request if it is one. It needs a token."""
        hub, address = self.hub, urlsplit(self.path)
        hub.requests.append(f"POST {address.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "authorization" not in self.headers:
            return self.reply(401, {"X-Error-Message": "Invalid username or password."})
        start = f"/api/models/{hub.repo}/"
        if address.path == f"{start}preupload/main":
            files = [{"path": each["path"], "uploadMode": "regular"} for each in json.loads(body)["files"]]
            return self.json({"files": [{**each, "shouldIgnore": False, "oid": None} for each in files]})
        if address.path == f"{start}commit/main":
            hub.offered.append((dict(parse_qsl(address.query)), [json.loads(line) for line in body.splitlines()]))
            request = f"{hub.endpoint}/{hub.repo}/discussions/7"
            commit = f"{hub.endpoint}/{hub.repo}/commit/{'c' * 40}"
            made = {"success": True, "commitOid": "c" * 40, "commitUrl": commit, "pullRequestUrl": request}
            return self.json(made)
        return self.reply(404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})

    def commit(self, revision: str) -> str | None:
        sha = self.hub.main if revision == "main" else revision
        if sha in self.hub.commits:
            return sha
        self.reply(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": f"Invalid rev id: {revision}"})
        return None

    def information(self, sha: str) -> None:
        files = [{"rfilename": name, "size": size} for name, size in self.hub.sizes_of(sha).items()]
        self.json({"id": self.hub.repo, "sha": sha, "private": False, "tags": [], "siblings": files})

    def resolve(self, revision: str, name: str) -> None:
        if self.hub.gated:
            return self.reply(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."})
        sha = self.commit(revision)
        if sha is None:
            return None
        data = self.hub.commits[sha].get(name)
        if data is None:
            return self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        digest = hashlib.sha256(data).hexdigest()
        headers = {
            "Location": self.hub.endpoint.replace("127.0.0.1", "localhost") + f"/cdn/{digest}",
            "X-Repo-Commit": sha,
            "X-Linked-ETag": f'"{digest}"',
            "X-Linked-Size": str(len(data)),
            "ETag": '"of the pointer file"',
        }
        return self.reply(302, headers)

    def content(self, data: bytes) -> None:
        assert "authorization" not in self.headers, "a token must not go to the second host"
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        headers = {"ETag": '"blob"', "Accept-Ranges": "bytes"}
        if wanted:
            self.hub.ranges.append(wanted)
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        cut, self.hub.cut = self.hub.cut, None
        self.reply(206 if wanted else 200, headers, data[start:], cut)

    def tree(self, files: dict[str, bytes], *, recursive: bool) -> None:
        folders = sorted({name.split("/")[0] for name in files if "/" in name})
        entries: list[dict[str, object]] = [{"type": "directory", "path": each, "oid": "0" * 40} for each in folders]
        entries += [
            {"type": "file", "path": name, "oid": "0" * 40, "size": len(data)}
            for name, data in files.items()
            if "/" not in name or self.hub.kind == "models" or recursive
        ]
        self.json(entries)

    def json(self, value: object) -> None:
        self.reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"", cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
            self.close_connection = cut is not None
