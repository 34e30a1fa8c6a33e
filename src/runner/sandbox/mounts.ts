import { lstatSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import type { BoxMounts } from './box.ts'

/** Describes something at a path inside a box. */
export interface Mount {
  kind: 'writable' | 'readable' | 'hidden_folder' | 'hidden_file'
  path: string
  /** Path on the machine, without links. */
  source: string
}

/** Top folders: links into /usr if the machine has merged them, separate folders otherwise. */
export const TOP = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']
/** Folders that the box creates itself. */
const OWN = ['/proc', '/sys', '/dev']
/** Folders that the whole machine shares, so their content belongs to others as well. */
const SHARED = [
  '/',
  '/bin',
  '/boot',
  '/etc',
  '/home',
  '/lib',
  '/opt',
  '/root',
  '/run',
  '/sbin',
  '/tmp',
  '/usr',
  '/var',
]
const SHARED_TOO = ['/var/lib', '/var/run', '/var/tmp', '/usr/local']

/**
 * Returns all mounts of a box: the places of the attempt and of the operator, and covers over what is hidden, except
 * for places given below that. Deeper paths come later, and so on top. Throws `invalid_argument` for a place that
 * cannot be given.
 */
export function mountsOf(own: BoxMounts, operators: BoxMounts, hidden: readonly string[]): Mount[] {
  for (const path of own.writable) checkWritable(path)
  const all = [
    ...[...own.readable, ...operators.readable].map((path) => mounted('readable', path)),
    ...[...own.writable, ...operators.writable].map((path) => mounted('writable', path)),
  ]
  const covers = hidden.flatMap((path) => coversOf(path, all))
  return [...all, ...covers].sort((a, b) => depth(a.path) - depth(b.path))
}

const depth = (path: string): number => path.split(sep).filter((part) => part !== '').length

function mounted(kind: 'writable' | 'readable', path: string): Mount {
  const refused = (why: string, hint?: string) =>
    new ErrandError('invalid_argument', `${path} cannot be mounted in a sandbox: ${why}.`, { hint })
  if (OWN.some((own) => isBelow(path, own))) throw refused('a sandbox has its own')
  try {
    const source = realPath(path, '/')
    const stat = statSync(source)
    if (!stat.isDirectory() && !stat.isFile()) throw refused('it is neither a folder nor a file')
    if (kind === 'writable' && !stat.isDirectory()) throw refused('it is not a folder')
    return { kind, path, source }
  } catch (error) {
    if (error instanceof ErrandError) throw error
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') throw refused('it does not exist')
    if (code === 'EACCES') throw refused('this user has no access to it')
    throw refused(message)
  }
}

function checkWritable(path: string): void {
  const real = realPath(path, '/')
  if (isBelow(realPath(homedir(), '/'), real) && !SHARED.includes(real))
    throw new ErrandError(
      'invalid_argument',
      `A sandbox cannot work in ${path}: it is the home of this user.`,
      {
        hint: 'It contains keys and the startup files of shells. Work in a project folder, or without a sandbox (isolation: none).',
      },
    )
  if (!SHARED.includes(real) && !SHARED_TOO.includes(real)) return
  throw new ErrandError(
    'invalid_argument',
    `A sandbox cannot work in ${path}: the whole machine shares it.`,
    {
      hint: 'Work in a project folder.',
    },
  )
}

/** Returns covers over a place of Errand's own, wherever a given folder contains it. */
function coversOf(hidden: string, mounts: readonly Mount[]): Mount[] {
  const real = realPath(hidden, '/')
  const stat = lstatSync(real, { throwIfNoEntry: false })
  if (stat === undefined) return []
  return mounts.flatMap(({ kind, path, source }): Mount[] => {
    if (source === real && stat.isDirectory())
      throw new ErrandError(
        'invalid_argument',
        `A sandbox cannot have ${path}: Errand stores its own files there.`,
        {
          hint: 'Work in another folder.',
        },
      )
    if (source === real || !isBelow(real, source)) return []
    const below = relative(source, real)
    const cover = stat.isDirectory() ? ('hidden_folder' as const) : ('hidden_file' as const)
    // A mount point cannot be renamed. Otherwise a folder on the way could be, and show the place under another name.
    const way = kind === 'writable' ? foldersTo(below) : []
    const pinned = way.map((each) => ({ kind, path: join(path, each), source: join(source, each) }))
    return [...pinned, { kind: cover, path: join(path, below), source: real }]
  })
}

/** Returns the folders on a relative path, the outermost first. */
function foldersTo(path: string): string[] {
  const parts = path.split(sep).slice(0, -1)
  return parts.map((_, index) => parts.slice(0, index + 1).join(sep))
}

/** Throws if the program or the working folder is not in the box. */
export function checkInside(program: string, cwd: string, mounts: readonly Mount[]): void {
  const hint = `Put it into the workspace, or let the runner mount its folder (ERRAND_SANDBOX_MOUNTS).`
  if (!holds(mounts, cwd))
    throw new ErrandError('invalid_argument', `The working folder ${cwd} is not in the sandbox.`, {
      hint,
    })
  const system = ['/usr', ...TOP.map((name) => `/${name}`)]
  const real = realPath(program, '/')
  const isSystem = (path: string) =>
    system.some((each) => isBelow(path, each) || isBelow(path, realPath(each, '/')))
  const isThere = (path: string) => isSystem(path) || holds(mounts, path)
  if (isThere(program) && isThere(real)) return
  throw new ErrandError('invalid_argument', `The program ${program} is not in the sandbox.`, { hint })
}

/** Reports whether the innermost mount around the path shows it. */
function holds(mounts: readonly Mount[], path: string): boolean {
  const around = mounts.filter((each) => isBelow(path, each.path) || isBelow(path, each.source)).at(-1)
  return around !== undefined && !around.kind.startsWith('hidden')
}
