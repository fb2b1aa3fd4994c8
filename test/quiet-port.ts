import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/** From here on, below what Linux gives to outgoing connections and to who listens on port 0. */
const FIRST = 20_000;
const COUNT = 10_000;

/**
 * A free port that nobody else gets: one from the range for outgoing connections may be taken by another test while a
 * broker that had it is started again. It stays this process's until that ends, for two tests that look at the same time
 * would find the same one free: an abstract socket of that name says whose it is, which the kernel removes with us.
 */
export async function quietPort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    const claim = await listening((server) => server.listen(`\0mesq-test-port-${port}`));
    if (claim === undefined) continue;
    const free = await listening((server) => server.listen(port, '127.0.0.1'));
    if (free === undefined) {
      claim.close();
      continue;
    }
    free.close();
    await once(free, 'close');
    claim.unref();
    return port;
  }
}

async function listening(begin: (server: Server) => void): Promise<Server | undefined> {
  const server = createServer();
  begin(server);
  try {
    await once(server, 'listening');
    return server;
  } catch {
    return undefined;
  }
}
