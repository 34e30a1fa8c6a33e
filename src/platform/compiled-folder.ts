import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/**
 * Returns the folder for V8's compiled code of Errand's programs: the one that an image ships beside them, otherwise
 * the user's.
 */
export function compiledFolder(): string {
  const shipped = join(import.meta.dirname, '../compiled')
  if (existsSync(shipped)) return shipped
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'errand', 'compiled')
}
