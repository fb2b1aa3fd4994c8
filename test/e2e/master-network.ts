import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** Whoever is no master: agents and clients. */
export const OUTSIDE = 'outside';

/** A client id at a master, of which `m1~raft` and `m1~snapshots` are the masters' own. */
const MASTERS_OWN = /^(.*)~(?:raft|snapshots)$/;

/**
 * The roads between masters, and from everybody else to them. Each can be blocked in one direction as a bad cable does
 * it: what is sent waits as TCP would have it wait, nobody is told, no connection breaks, none is made. Who travels is
 * told by the client id of the CONNECT, so that all use one URL a master.
 */
export class MasterNetwork {
  readonly #blocked = new Set<string>();
  readonly #passages = new Set<Passage>();
  readonly #servers: Server[] = [];

  /** A URL that leads to the broker of `master` at `url`. */
  async roadTo(master: string, url: string): Promise<string> {
    const { hostname, port } = new URL(url);
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
      const passage = new Passage(near, {
        reach: () => connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true }),
        outward: (traveller) => !this.#blocked.has(`${traveller}>${master}`),
        homeward: (traveller) => !this.#blocked.has(`${master}>${traveller}`),
        over: () => this.#passages.delete(passage),
      });
      this.#passages.add(passage);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#servers.push(server);
    return `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** From now on nothing of `from` arrives at `to`; either may be {@link OUTSIDE}. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from}>${to}`);
    this.#changed();
  }

  /** Nothing arrives any more between the two. */
  part(one: string, other: string): void {
    this.block(one, other);
    this.block(other, one);
  }

  /** All roads are open, and what has waited arrives. */
  mend(): void {
    this.#blocked.clear();
    this.#changed();
  }

  async close(): Promise<void> {
    for (const passage of this.#passages) passage.break();
    await Promise.all(
      this.#servers.map((server) => {
        server.close();
        return once(server, 'close');
      }),
    );
  }

  #changed(): void {
    for (const passage of this.#passages) passage.roadsChanged();
  }
}

interface Road {
  readonly reach: () => Socket;
  /** May bytes go from the traveller to the master, and back? */
  readonly outward: (traveller: string) => boolean;
  readonly homeward: (traveller: string) => boolean;
  readonly over: () => void;
}

/** One connection through a road. */
class Passage {
  readonly #near: Socket;
  readonly #road: Road;
  #far: Socket | undefined;
  #traveller: string | undefined;
  /** Its first bytes, until it is known whose they are and the road is open. */
  #first: Buffer = Buffer.alloc(0);
  /** Ends of a connection that the other side must not hear of yet. */
  readonly #unheard = new Set<Socket>();

  constructor(near: Socket, road: Road) {
    this.#near = near;
    this.#road = road;
    near.on('error', () => undefined);
    near.on('data', (piece: Buffer) => this.#said(piece));
    near.on('end', () => this.#far?.end());
    near.on('close', () => this.#closed(near));
  }

  roadsChanged(): void {
    if (this.#traveller === undefined) return;
    if (this.#far === undefined) return this.#depart();
    for (const end of [this.#near, this.#far]) {
      if (!this.#open(end)) end.pause();
      else if (this.#other(end)?.writableNeedDrain !== true) end.resume();
    }
    for (const end of this.#unheard) this.#closed(end);
  }

  break(): void {
    this.#near.destroy();
    this.#far?.destroy();
  }

  #said(piece: Buffer): void {
    if (this.#far !== undefined) return this.#pass(this.#near, this.#far, piece);
    this.#first = Buffer.concat([this.#first, piece]);
    const clientId = clientIdOf(this.#first);
    if (clientId === undefined) return;
    this.#traveller = MASTERS_OWN.exec(clientId)?.[1] ?? OUTSIDE;
    this.#depart();
  }

  /** A connection needs both directions. */
  #depart(): void {
    const { reach, outward, homeward } = this.#road;
    const traveller = this.#traveller ?? OUTSIDE;
    this.#near.pause();
    if (!outward(traveller) || !homeward(traveller)) return;
    const far = reach();
    this.#far = far;
    far.on('error', () => undefined);
    far.on('data', (piece: Buffer) => this.#pass(far, this.#near, piece));
    far.on('end', () => this.#near.end());
    far.on('close', () => this.#closed(far));
    for (const [from, to] of [
      [this.#near, far],
      [far, this.#near],
    ] as const)
      to.on('drain', () => {
        if (this.#open(from)) from.resume();
      });
    far.write(this.#first);
    this.roadsChanged();
  }

  #pass(from: Socket, to: Socket, piece: Buffer): void {
    if (!to.write(piece)) from.pause();
  }

  #open(from: Socket): boolean {
    const { outward, homeward } = this.#road;
    const traveller = this.#traveller ?? OUTSIDE;
    return from === this.#near ? outward(traveller) : homeward(traveller);
  }

  #other(end: Socket): Socket | undefined {
    return end === this.#near ? this.#far : this.#near;
  }

  #closed(end: Socket): void {
    const other = this.#other(end);
    if (this.#traveller !== undefined && !this.#open(end) && other?.closed === false) {
      this.#unheard.add(end);
      return;
    }
    this.#unheard.delete(end);
    other?.destroySoon();
    if (other === undefined || other.closed) this.#road.over();
  }
}

/** Of a CONNECT packet ([MQTT-3.1.3-1]); undefined where it is not all there yet. */
function clientIdOf(bytes: Buffer): string | undefined {
  let at = 1;
  while ((bytes[at] ?? 0) >= 0x80) at++;
  // Behind the remaining length: protocol name, level, flags, keep-alive, then the client id.
  const name = at + 1;
  if (bytes.length < name + 2) return undefined;
  const length = name + 2 + bytes.readUInt16BE(name) + 4;
  if (bytes.length < length + 2) return undefined;
  const from = length + 2;
  const to = from + bytes.readUInt16BE(length);
  return bytes.length < to ? undefined : bytes.subarray(from, to).toString();
}
