import { posix } from 'node:path'
import { StepFailure } from '../platform-steps/platform-step.ts'
import type { OurRepository } from './our-repository.ts'
import { MAX_OBJECTS, tooMany, tooMuch } from './pack-in-box.ts'
import type { TreeChange } from './tree-changes.ts'

export interface SizeLimits {
  maxFileBytes: number
  maxBytes: number
}

const MAX_COMMIT_BYTES = 1024 ** 2

/**
 * Checks the size of everything reachable from `tip` and not from `start`, before anything reads it. Throws
 * `too_large`, and `unsafe_change` if objects are missing.
 */
export async function checkSizes(
  repository: OurRepository,
  { start, tip }: { start: string; tip: string },
  { maxFileBytes, maxBytes }: SizeLimits,
): Promise<void> {
  const names = new Map<string, string>()
  const name = (line: string): void => {
    const at = line.indexOf(' ')
    if (at === -1) names.set(line, '')
    else names.set(line.slice(0, at), line.slice(at + 1))
    if (names.size > MAX_OBJECTS) throw tooMany(names.size)
  }
  await repository.lines(['rev-list', '--objects', '--stdin'], name, `${tip}\n^${start}\n`)
  let sum = 0
  const take = (line: string): void => {
    const [id, type, size] = line.split(' ')
    const bytes = Number(size)
    if (!Number.isSafeInteger(bytes))
      throw new StepFailure('unsafe_change', `The change is incomplete: object ${id} is missing.`)
    const most = type === 'commit' || type === 'tag' ? Math.min(MAX_COMMIT_BYTES, maxFileBytes) : maxFileBytes
    if (bytes > most) {
      const name = names.get(id!)
      throw new StepFailure(
        'too_large',
        `${name ? JSON.stringify(name) : `The ${type} ${id}`} has ${bytes} bytes; the limit is ${most}.`,
        'Exclude it with .gitignore, or raise max_file_bytes.',
      )
    }
    sum += bytes
    if (sum > maxBytes) throw tooMuch(maxBytes)
  }
  const ids = [...names.keys()].map((id) => `${id}\n`).join('')
  await repository.lines(['cat-file', '--batch-check', '--buffer'], take, ids)
}

/** Limit for offenses that are checked again, and named. */
const MAX_OFFENCES = 20

interface Offence {
  path: string
  why: string
  /** Set for an offense that does not count if the name existed before. */
  ofName?: true
}

const isThere = async (repository: OurRepository, commit: string, path: string): Promise<boolean> =>
  (await repository.text(['--literal-pathspecs', 'ls-tree', '-z', '--name-only', commit, '--', path])) !== ''

/**
 * Refuses what Git accepts but some machine would misread: names, modes, links that lead outside, repositories within
 * the repository, submodules with unusual addresses, names that are equal on other machines. What was in `start` may
 * stay. Throws `unsafe_change`.
 */
export async function checkSafe(
  repository: OurRepository,
  { start, tip }: { start: string; tip: string },
  changes: readonly TreeChange[],
): Promise<void> {
  const offences = [
    ...changes.flatMap(nameOffence),
    ...(await linkOffences(repository, changes)),
    ...(await submoduleOffences(repository, start, tip, changes)),
    ...(await collisions(repository, start, tip, changes)),
  ]
  const found: Offence[] = []
  for (const offence of offences) {
    if (found.length >= MAX_OFFENCES) break
    if (found.some(({ path }) => path === offence.path)) continue
    if (offence.ofName && (await isThere(repository, start, offence.path))) continue
    found.push(offence)
  }
  if (found.length === 0) return
  const all = found.map(({ path, why }) => `${JSON.stringify(path)} ${why}`)
  throw new StepFailure(
    'unsafe_change',
    `The change is unsafe: ${all.join('; ')}.`,
    'Have the agent leave them out.',
  )
}

const MODES = ['100644', '100755', '120000', '160000', '000000']

function nameOffence({ path, status, mode, oldMode }: TreeChange): Offence[] {
  if (!MODES.includes(mode) && mode !== oldMode) return [{ path, why: `has mode ${mode}` }]
  if (status !== 'A') return []
  if (/\p{Cc}/u.test(path)) return [{ path, why: 'has a control character in its name', ofName: true }]
  if (path.includes('\\')) return [{ path, why: 'has a backslash in its name', ofName: true }]
  return []
}

const MAX_LINK_BYTES = 4096
const LINK = '120000'
const SUBMODULE = '160000'

async function linkOffences(repository: OurRepository, changes: readonly TreeChange[]): Promise<Offence[]> {
  const links = changes.filter(
    ({ mode, id, oldMode, oldId }) => mode === LINK && (oldMode !== LINK || oldId !== id),
  )
  const offences: Offence[] = []
  for (const { path, id } of links) {
    if (offences.length > MAX_OFFENCES) break
    const bytes = Number(await repository.text(['cat-file', '-s', id]))
    const target =
      bytes > MAX_LINK_BYTES ? undefined : (await repository.bytes(['cat-file', 'blob', id])).toString()
    if (target === undefined || leadsOutside(path, target))
      offences.push({
        path,
        why: `is a link that leads outside the repository or into .git${target ? ` (${JSON.stringify(target)})` : ''}`,
      })
  }
  return offences
}

/**
 * Reports whether a link at that path may lead out of its repository, or into `.git`. The folders above it are real, so
 * a leading `..` goes where it says; after a name that may itself be a link, nobody can tell.
 */
export function leadsOutside(path: string, target: string): boolean {
  const parts = target
    .replaceAll('\\', '/')
    .split('/')
    .filter((part) => part !== '' && part !== '.')
  const up = parts.findIndex((part) => part !== '..')
  const ups = up === -1 ? parts.length : up
  const rest = parts.slice(ups)
  const depth = posix.dirname(path) === '.' ? 0 : posix.dirname(path).split('/').length
  const isAbsolute = /^[/\\]|^[A-Za-z]:/.test(target) || target === '' || target.includes('\0')
  return isAbsolute || ups > depth || rest.some((part) => part === '..' || /^\.git$/i.test(part))
}

const SAFE_URL =
  /^(?:https?:\/\/|ssh:\/\/)[^\s-][^\s]*$|^\.\.?\/[^\s]*$|^[A-Za-z0-9._]+@[A-Za-z0-9][A-Za-z0-9.-]*:[^\s:-][^\s]*$/

async function submoduleOffences(
  repository: OurRepository,
  start: string,
  tip: string,
  changes: readonly TreeChange[],
): Promise<Offence[]> {
  const isTouched = changes.some(({ path, mode }) => path === '.gitmodules' || mode === SUBMODULE)
  if (!isTouched) return []
  const [before, after] = [await modulesOf(repository, start), await modulesOf(repository, tip)]
  const urls = new Set(before.filter(([key]) => key.endsWith('.url')).map(([, value]) => value))
  const paths = new Set(after.filter(([key]) => key.endsWith('.path')).map(([, value]) => value))
  return [
    ...after.flatMap(([key, value]): Offence[] =>
      key.endsWith('.url') && !urls.has(value) && !SAFE_URL.test(value)
        ? [
            {
              path: '.gitmodules',
              why: `has a submodule address that is not https:// or ssh:// (${JSON.stringify(value)})`,
            },
          ]
        : [],
    ),
    ...changes.flatMap(({ path, mode, oldMode }): Offence[] =>
      mode === SUBMODULE && oldMode !== SUBMODULE && !paths.has(path)
        ? [{ path, why: 'is a repository inside the repository but not a submodule' }]
        : [],
    ),
  ]
}

async function modulesOf(repository: OurRepository, commit: string): Promise<[key: string, value: string][]> {
  const listed = await repository.text(['ls-tree', '-z', commit, '--', '.gitmodules'])
  if (!/^100\d{3} blob /.test(listed)) return []
  const found: [string, string][] = []
  await repository.records(
    ['config', '--null', '--list', '--no-includes', `--blob=${commit}:.gitmodules`],
    (record) => {
      const at = record.indexOf('\n')
      if (at !== -1) found.push([record.slice(0, at), record.slice(at + 1)])
    },
  )
  return found
}

const folded = (path: string) => path.normalize('NFC').toLowerCase()

/** Returns new names, of files and their folders, that equal another name of the tree on machines that fold cases. */
async function collisions(
  repository: OurRepository,
  start: string,
  tip: string,
  changes: readonly TreeChange[],
): Promise<Offence[]> {
  const added = new Map<string, Set<string>>()
  for (const { path, status } of changes)
    if (status === 'A')
      for (const name of withFolders(path)) {
        const spelled = added.get(folded(name))
        if (spelled) spelled.add(name)
        else added.set(folded(name), new Set([name]))
      }
  if (added.size === 0) return []
  const pairs = new Map<string, string>()
  await repository.records(['ls-tree', '-r', '-z', '--name-only', tip], (path) => {
    for (const name of withFolders(path))
      for (const other of added.get(folded(name)) ?? []) if (other !== name) pairs.set(other, name)
  })
  const offences: Offence[] = []
  for (const [path, other] of pairs) {
    if (offences.length > MAX_OFFENCES) break
    if ((await isThere(repository, start, path)) && (await isThere(repository, start, other))) continue
    // A name that a later commit has removed collides with nothing.
    if (!(await isThere(repository, tip, path))) continue
    offences.push({ path, why: `differs from ${JSON.stringify(other)} only in case or Unicode form` })
  }
  return offences
}

/** Returns a path, and those of the folders above it. */
export function withFolders(path: string): string[] {
  const names = [path]
  for (let at = path.lastIndexOf('/'); at > 0; at = path.lastIndexOf('/', at - 1))
    names.push(path.slice(0, at))
  return names
}
