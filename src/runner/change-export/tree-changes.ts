import { StepFailure } from '../platform-steps/platform-step.ts'
import type { OurRepository } from './our-repository.ts'

/** Describes a path whose entry differs after a commit. Renames are a deletion and an addition. */
export interface TreeChange {
  path: string
  status: 'A' | 'D' | 'M' | 'T'
  oldMode: string
  /** Mode; `000000` means that it is gone. */
  mode: string
  oldId: string
  id: string
}

/** Limit for paths: a tree may contain itself many times over, and nobody reads such a change. */
const MAX_PATHS = 100_000
const RAW = ['diff-tree', '-r', '--raw', '-z', '--no-renames', '--no-abbrev', '--no-commit-id']

/**
 * Counts the paths of those commits one by one, without holding them in memory like the other functions. Throws
 * `too_large` for a commit that has many more than `start`.
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

/** Returns the changes from one commit to another. Throws `too_large` if there are too many. */
export async function treeChanges(
  repository: OurRepository,
  from: string,
  to: string,
): Promise<TreeChange[]> {
  return await readChanges(repository, [...RAW, from, to])
}

/** Returns the changes of those commits, each against its parents; for a merge, only what differs from all of them. */
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

/** Parses an entry; a merge has as many colons, modes and ids as parents. */
function readEntry(record: string): Omit<TreeChange, 'path'> {
  const parents = /^:+/.exec(record)?.[0].length ?? 0
  const words = record.slice(parents).split(' ')
  if (parents === 0 || words.length !== 2 * parents + 3)
    throw new Error(`Git printed something unexpected: ${JSON.stringify(record)}.`)
  const status = words.at(-1)![0]
  return {
    status: status as TreeChange['status'],
    oldMode: words[0]!,
    mode: words[parents]!,
    oldId: words[parents + 1]!,
    id: words[2 * parents + 1]!,
  }
}

/** Describes a file in the whole change. */
export interface ChangedFile {
  path: string
  /** Name before a rename, or of the file that it is a copy of. */
  old_path?: string
  status: 'added' | 'deleted' | 'changed' | 'renamed' | 'type_changed'
  mode: string
  /** Added lines; absent if it is not text. */
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

/** Returns the files of a change with their figures and renames. Only for changes that `treeChanges` has accepted. */
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
    if (added === undefined) throw new Error(`Git printed something unexpected: ${JSON.stringify(record)}.`)
    const path = same === '' ? all[at + 1]! : same!
    if (same === '') at += 2
    const file = files.get(path)
    if (file && added !== '-') Object.assign(file, { added: Number(added), deleted: Number(deleted) })
  }
  return [...files.values()]
}
