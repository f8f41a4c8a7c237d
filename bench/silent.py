"""A site that takes connections and says nothing, `python -m bench.silent ADDRESS PORT SECONDS`: it hangs up after so long."""

from __future__ import annotations

import asyncio
import sys


async def main(address: str, port: int, seconds: float) -> None:
    """Listen until standard input ends."""

    async def hang(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.close()

    await asyncio.start_server(hang, address, port)
    print("listening", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
