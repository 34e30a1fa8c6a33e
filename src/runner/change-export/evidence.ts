import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ArtifactKind, MAX_ARTIFACT_BYTES } from '../../contract/tasks/artifact.ts'
import type { Protection } from '../../contract/tasks/task.ts'
import type { OurRepository } from './our-repository.ts'
import { type PathKind, type Protector, pathKind } from './protected-paths.ts'
import { type ChangedFile, changedFiles } from './tree-changes.ts'

/** Describes something to store beside the log, in a file of the runner's own. */
export interface Keepable {
  kind: ArtifactKind
  name: string
  file: string
  media_type?: string
}

/** Stores a thing; resolves when it is durable and reported. */
export type Keep = (keepable: Keepable) => Promise<unknown>

/** Lists a change's files, in the format of its artifact `files.json`. */
export interface FileList {
  start: string
  tip: string
  /**
   * Origin of the commits that are pushed, relative to the agent's; `caught_up`: put onto what others have pushed
   * since.
   */
  history: History
  files: ListedFile[]
}

export type History = 'kept' | 'squashed' | 'rewritten' | 'caught_up'

export interface ListedFile extends ChangedFile {
  kind?: PathKind | 'submodule'
  decision?: Protection
}

export interface Evidence {
  start: string
  tip: string
  history: History
  protect: Protector
  /** Existing folder of ours for the files. */
  folder: string
}

const MAX_PATCHES = 200
const SUBMODULE = '160000'

/** Lists the files of a change, with the rules' decision on each under both of its names. */
export async function listFiles(
  repository: OurRepository,
  { start, tip, history, protect }: Omit<Evidence, 'folder'>,
): Promise<FileList> {
  const files = (await changedFiles(repository, start, tip)).map((file): ListedFile => {
    const names = file.old_path === undefined ? [file.path] : [file.path, file.old_path]
    const decisions = names.map(protect)
    const decision = (['forbid', 'ask', 'flag'] as const).find((each) => decisions.includes(each))
    const kind =
      file.mode === SUBMODULE ? 'submodule' : names.map(pathKind).find((each) => each !== undefined)
    return { ...file, ...(kind && { kind }), ...(decision && { decision }) }
  })
  return { start, tip, history, files }
}

const PATCH = ['--binary', '--full-index', '--no-color', '--no-ext-diff', '--no-textconv']

/** Stores the whole diff; returns whether it was too large for that. */
export async function keepDiff(repository: OurRepository, evidence: Evidence, keep: Keep): Promise<boolean> {
  const { start, tip, folder } = evidence
  const file = join(folder, 'diff')
  await repository.toFile(['diff-tree', '-r', '-p', '-M', ...PATCH, start, tip], file)
  if (statSync(file).size > MAX_ARTIFACT_BYTES) return true
  await keep({ kind: 'diff', name: 'change.diff', file, media_type: 'text/x-diff' })
  return false
}

/** Stores the list of files, the diff and each commit's patch; returns a text about what was too large to store. */
export async function keepEvidence(
  repository: OurRepository,
  evidence: Evidence,
  list: FileList,
  keep: Keep,
): Promise<string[]> {
  const { start, tip, folder } = evidence
  const leftOut: string[] = []
  const listFile = join(folder, 'files.json')
  writeFileSync(listFile, `${JSON.stringify(list, null, 2)}\n`, { mode: 0o600 })
  await keep({
    kind: 'files',
    name: 'files.json',
    file: listFile,
    media_type: 'application/json',
  })
  if (await keepDiff(repository, evidence, keep)) leftOut.push('The diff is too large to store.')
  const patches = join(folder, 'patches')
  mkdirSync(patches)
  const format = [
    'format-patch',
    '--quiet',
    '--numbered-files',
    '--no-signature',
    '--no-base',
    `-${MAX_PATCHES}`,
  ]
  await repository.text([...format, '-o', patches, ...PATCH, `${start}..${tip}`])
  const numbers = readdirSync(patches)
    .map(Number)
    .filter((number) => number > 0)
  for (const number of numbers.sort((a, b) => a - b)) {
    const file = join(patches, String(number))
    const name = `patch/${String(number).padStart(4, '0')}.patch`
    if (statSync(file).size > MAX_ARTIFACT_BYTES) leftOut.push(`${name} is too large to store.`)
    else await keep({ kind: 'patch', name, file, media_type: 'text/x-diff' })
  }
  return leftOut
}
