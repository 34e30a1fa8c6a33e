import { StepFailure } from '../platform-steps/platform-step.ts'
import type { OurRepository } from './our-repository.ts'

/** A path whose entry is another one after a commit than before. Renames are a deletion and an addition. */
export interface TreeChange {
  path: string
  status: 'A' | 'D' | 'M' | 'T'
  oldMode: string
  /** `000000`: it is gone. */
  mode: string
  oldId: string
  id: string
}

/** A tree may hold itself many times over: more paths than these are no change that anybody reads. */
const MAX_PATHS = 100_000
const RAW = ['diff-tree', '-r', '--raw', '-z', '--no-renames', '--no-abbrev', '--no-commit-id']

/**
 * Counts the paths of those commits one by one, as they come: all else holds them in memory. Throws `too_large` for one that has
 * many more than `start`.
 */
export async function checkPathCounts(
  repository: OurRepository,
  start: string,
  commits: readonly string[],
): Promise<void> {
  const count = async (commit: string, most: number): Promise<number> => {
    let paths = 0
    await repository.records(['ls-tree', '-r', '-z', '--name-only', commit], () => {
      if (++paths > most) throw tooManyPaths()
    })
    return paths
  }
  const most = (await count(start, Number.POSITIVE_INFINITY)) + MAX_PATHS
  for (const commit of commits) await count(commit, most)
}

const tooManyPaths = () => new StepFailure('too_large', `The change touches more than ${MAX_PATHS} paths.`)

/** Changes from one commit to another. Throws `too_large` where it is too much. */
export async function treeChanges(
  repository: OurRepository,
  from: string,
  to: string,
): Promise<TreeChange[]> {
  return await readChanges(repository, [...RAW, from, to])
}

/** Changes of those commits, each against its parents: of a merge only what none of them has so. */
export async function commitChanges(
  repository: OurRepository,
  commits: readonly string[],
): Promise<TreeChange[]> {
  if (commits.length === 0) return []
  return await readChanges(
    repository,
    [...RAW, '--stdin', '--root', '-c'],
    commits.map((id) => `${id}\n`).join(''),
  )
}

async function readChanges(
  repository: OurRepository,
  args: readonly string[],
  input?: string,
): Promise<TreeChange[]> {
  const changes: TreeChange[] = []
  let open: Omit<TreeChange, 'path'> | undefined
  await repository.records(
    args,
    (record) => {
      if (!open) {
        open = readEntry(record)
        return
      }
      changes.push({ ...open, path: record })
      open = undefined
      if (changes.length > MAX_PATHS) throw tooManyPaths()
    },
    input,
  )
  return changes
}

/** Of a merge there are as many colons, modes and ids as parents. */
function readEntry(record: string): Omit<TreeChange, 'path'> {
  const parents = /^:+/.exec(record)?.[0].length ?? 0
  const words = record.slice(parents).split(' ')
  if (parents === 0 || words.length !== 2 * parents + 3)
    throw new Error(`Git says ${JSON.stringify(record)}.`)
  const status = words.at(-1)![0]
  return {
    status: status as TreeChange['status'],
    oldMode: words[0]!,
    mode: words[parents]!,
    oldId: words[parents + 1]!,
    id: words[2 * parents + 1]!,
  }
}

/** A file as the whole change has it. */
export interface ChangedFile {
  path: string
  /** Before it was renamed, or the one that it is a copy of. */
  old_path?: string
  status: 'added' | 'deleted' | 'changed' | 'renamed' | 'type_changed'
  mode: string
  /** Lines; absent: no text. */
  added?: number
  deleted?: number
}

const statuses: Readonly<Record<string, ChangedFile['status']>> = {
  A: 'added',
  C: 'added',
  D: 'deleted',
  M: 'changed',
  R: 'renamed',
  T: 'type_changed',
}

/** The files of a change with their figures, renames found. Only for what `treeChanges` has taken. */
export async function changedFiles(
  repository: OurRepository,
  from: string,
  to: string,
): Promise<ChangedFile[]> {
  const files = new Map<string, ChangedFile>()
  const args = [
    'diff-tree',
    '-r',
    '--raw',
    '--numstat',
    '-z',
    '-M',
    '--no-abbrev',
    '--no-commit-id',
    from,
    to,
  ]
  const all: string[] = []
  await repository.records(args, (record) => void all.push(record))
  let at = 0
  while (at < all.length) {
    const record = all[at++]!
    const raw = /^:\d+ (\d+) [0-9a-f]+ [0-9a-f]+ ([A-Z])\d*$/.exec(record)
    if (raw) {
      const moved = raw[2] === 'R' || raw[2] === 'C'
      const old_path = moved ? all[at++] : undefined
      const path = all[at++]!
      files.set(path, {
        path,
        ...(moved && { old_path }),
        status: statuses[raw[2]!] ?? 'changed',
        mode: raw[1]!,
      })
      continue
    }
    const [, added, deleted, same] = /^(\d+|-)\t(\d+|-)\t([\s\S]*)$/.exec(record) ?? []
    if (added === undefined) throw new Error(`Git says ${JSON.stringify(record)}.`)
    const path = same === '' ? all[at + 1]! : same!
    if (same === '') at += 2
    const file = files.get(path)
    if (file && added !== '-') Object.assign(file, { added: Number(added), deleted: Number(deleted) })
  }
  return [...files.values()]
}
