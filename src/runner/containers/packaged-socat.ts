import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { elfLoader } from './elf-loader.ts'

/** Path of that folder in a container. */
export const SOCAT_INSIDE = '/run/errand-socat'
/** Name of the loader, and so of its process. */
const LOADER = 'errand-bridge'
const LISTED_WITHIN_MS = 5_000

/** Words that run it inside. */
export const PACKAGED_SOCAT = [
  `${SOCAT_INSIDE}/${LOADER}`,
  '--library-path',
  SOCAT_INSIDE,
  `${SOCAT_INSIDE}/socat`,
] as const

/**
 * Returns a subfolder with the socat of this machine and everything that it loads: so it runs in an empty image, and
 * starts faster than a Node. Its name changes with its content. Undefined if there is none. Never rejects.
 */
export async function packagedSocat(folder: string, socat = '/usr/bin/socat'): Promise<string | undefined> {
  try {
    const loader = elfLoader(socat)
    if (loader === undefined) return undefined
    const { stdout } = await promisify(execFile)(loader, ['--list', socat], { timeout: LISTED_WITHIN_MS })
    const loaded = [...stdout.matchAll(/^\s*(\S+) => (\/\S+) /gm)].map(
      ([, name, path]) => [name!, path!] as const,
    )
    return storedCopy(folder, [[LOADER, loader], ['socat', socat], ...loaded])
  } catch {
    return undefined
  }
}

function storedCopy(folder: string, files: readonly (readonly [name: string, path: string])[]): string {
  const facts = files.map(([name, path]) => {
    const { size, mtimeMs, ino } = statSync(path)
    return [name, path, size, mtimeMs, ino]
  })
  const hash = createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 16)
  const place = join(folder, `socat-${hash}`)
  if (existsSync(place)) return place
  const temporary = `${place}.${process.pid}.tmp`
  mkdirSync(temporary, { recursive: true, mode: 0o755 })
  for (const [name, path] of files) copyFileSync(path, join(temporary, basename(name)))
  try {
    renameSync(temporary, place)
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true })
    // Another process was faster.
    if (!existsSync(place)) throw error
  }
  for (const name of readdirSync(dirname(place)))
    if (/^socat-[0-9a-f]{16}$/.test(name) && name !== basename(place))
      rmSync(join(folder, name), { recursive: true, force: true })
  return place
}
