import { fileStorage } from '../io/node/storage.ts';
import { StorageError } from '../io/storage.ts';
import { Fault } from '../protocol/faults.ts';

const FILE = 'master-id';

/**
 * Binds a data folder to the master that first used it: votes and entries in it are that one's. Under another id they
 * would count twice. Faults: CONFLICT, DISK.
 */
export async function bindToMaster(data: string, id: string): Promise<Fault | undefined> {
  const storage = fileStorage(data);
  try {
    const written = await storage.read(FILE);
    if (written === undefined) {
      await storage.replace(FILE, new TextEncoder().encode(`${id}\n`));
      return undefined;
    }
    const owner = new TextDecoder().decode(written).trim();
    if (owner === id) return undefined;
    return new Fault(
      'CONFLICT',
      `the data folder ${data} belongs to master ${owner}, not to ${id}`,
      `Start it with --id ${owner}, or give ${id} a folder of its own with --data.`,
    );
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    return new Fault('DISK', `the data folder ${data} cannot be used: ${error.code}`);
  }
}
