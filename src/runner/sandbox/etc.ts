import { mkdirSync, readdirSync, readFileSync, type Stats, statSync, utimesSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { isBelow, realPath, writeFileAtomic } from '../../platform/files.ts'

/** Path in the box of the folder of files that its /etc links to. */
const FILES_INSIDE = '/run/etc'
/** Files of the machine's /etc that a box gets unchanged: programs need them to be found and to trust servers. */
const FILES = [
  ...['ca-certificates.conf', 'debian_version', 'ld.so.cache', 'ld.so.conf', 'localtime', 'mime.types'],
  ...['os-release', 'protocols', 'services', 'ssl/openssl.cnf', 'timezone'],
]
/** Maps Errand's own files in the folder to their deeper places in /etc. */
const DEEPER: Readonly<Record<string, string>> = { ssh_config: 'ssh/ssh_config' }
const FOLDERS = ['alternatives', 'ca-certificates', 'crypto-policies', 'ld.so.conf.d', 'pki', 'ssl/certs']

/**
 * Returns the arguments with which bubblewrap builds the /etc of a box: links to the files of one folder. The machine's
 * files are copied into that folder when they have changed. A mount for each file would take a third of the time in
 * which a box is made.
 */
export function etcArguments(folder: string): string[] {
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const own = readdirSync(folder).filter((name) => isWhole(name) && !COPIES.has(name))
  const machines = FILES.flatMap((name) => {
    const stat = statOf(`/etc/${name}`)
    return stat?.isFile() ? [{ name, target: targetOf(name, stat, folder) }] : []
  })
  const links = [
    ...machines,
    ...own.map((name) => ({ name: DEEPER[name] ?? name, target: join(FILES_INSIDE, name) })),
  ]
  return [
    ...['--ro-bind', folder, FILES_INSIDE],
    // The files of `ssl` and `ssh` are deeper than a link would place them.
    ...links.flatMap(({ name, target }) => {
      const link = `/etc/${name}`
      return ['--symlink', relative(dirname(link), target), link]
    }),
    ...FOLDERS.map((name) => `/etc/${name}`).flatMap((path) =>
      statOf(path)?.isDirectory() ? ['--ro-bind', path, path] : [],
    ),
  ]
}

const COPIES = new Set(FILES.map((name) => basename(name)))

/** Returns the path inside of a file: a system file's own path, or its copy. */
function targetOf(name: string, stat: Stats, folder: string): string {
  const path = `/etc/${name}`
  const real = realPath(path, '/')
  if (isBelow(real, '/usr')) return real
  const copy = join(folder, basename(name))
  const copied = statOf(copy)
  if (copied?.size !== stat.size || Math.abs(copied.mtimeMs - stat.mtimeMs) >= 1) {
    writeFileAtomic(copy, readFileSync(real), { durable: false })
    utimesSync(copy, stat.atime, stat.mtime)
  }
  return join(FILES_INSIDE, basename(name))
}

/** Reports whether a file is complete: not one that another process is about to put there. */
const isWhole = (name: string): boolean => !name.endsWith('.tmp')

/** Returns the stat of a path; undefined if it does not exist. */
const statOf = (path: string): Stats | undefined => statSync(path, { throwIfNoEntry: false })
