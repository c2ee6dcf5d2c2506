"""The peer of `hot.py`: what a team would write in an afternoon, FastAPI with a dictionary of prebuilt bodies behind a
token that is looked up. `python peer.py PORT FILE CONTENT_TYPE TARGET TOKEN`"""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response

PORT, FILE, CONTENT_TYPE, TARGET, TOKEN = sys.argv[1:]
BODIES = {TARGET: Path(FILE).read_bytes()}
CALLERS = {f"Bearer {TOKEN}": "reader"}
app = FastAPI()


@app.get("/{path:path}")
async def page(request: Request) -> Response:
    if request.headers.get("authorization") not in CALLERS:
        raise HTTPException(401)
    body = BODIES.get(f"{request.url.path}?{request.url.query}")
    if body is None:
        raise HTTPException(404)
    return Response(body, media_type=CONTENT_TYPE)


uvicorn.run(app, host="127.0.0.1", port=int(PORT), log_level="error", access_log=False)
