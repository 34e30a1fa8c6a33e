import type { Readable } from 'node:stream'
import { pack } from 'tar-stream'

/** A tar of the files, by their paths. */
export function buildContext(files: Readonly<Record<string, string>>): Readable {
  const tar = pack()
  for (const [name, text] of Object.entries(files)) tar.entry({ name }, text)
  tar.finalize()
  return tar as unknown as Readable
}
