import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ErrandError } from '../../../contract/errors.ts'
import type { ListedArtifact } from '../../../contract/run-api.ts'
import { type Artifact, ArtifactName } from '../../../contract/tasks/artifact.ts'
import { makeFolder } from '../../../platform/files.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { type StoredArtifacts, storedHere } from '../../local/local-artifacts.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { bytesText } from '../../render/table.ts'

export const runsArtifacts = command({
  summary: 'List the artifacts of a run, or fetch them.',
  args: '<id> [name]',
  options: {
    output: { type: 'string', short: 'o', value: 'FILE', help: 'Write the named artifact to this file' },
    all: { type: 'string', value: 'DIR', help: 'Write all artifacts to this folder, each under its name' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand runs artifacts run_0123',
    'errand runs artifacts run_0123 report.xml -o report.xml',
    'errand runs artifacts run_0123 --all out',
  ],
  async run({ output, all, json, ...hub }, [id, name]) {
    if (all !== undefined && (name !== undefined || output !== undefined))
      throw new UsageError('--all fetches every artifact', 'leave out the name and -o')
    if (output !== undefined && name === undefined)
      throw new UsageError('-o is for one artifact', `name it: errand runs artifacts ${id} NAME -o ${output}`)
    const runs = await runsOf(hub, id!)
    const list = await runs.artifacts(id!)
    const { artifacts } = list
    if (name !== undefined) await fetchArtifact(runs, id!, named(artifacts, name, id!), output)
    else if (all !== undefined) {
      // Of several artifacts with the same name, the last counts.
      const last = new Map(artifacts.map((artifact) => [artifact.name, artifact]))
      for (const artifact of last.values())
        await fetchArtifact(runs, id!, artifact, join(all, ArtifactName.parse(artifact.name)), json !== true)
    }
    if (json) printJson(list)
    else if (name === undefined && all === undefined)
      printTable(
        ['ID', 'KIND', 'NAME', 'SIZE', 'STEP', 'SHA-256'],
        artifacts.map(({ artifact_id, kind, name, bytes, step, sha256 }) => [
          ...[artifact_id, kind, name, bytesText(bytes), step, sha256.slice(0, 12)],
        ]),
        'The run has no artifacts.',
      )
    return 0
  },
})

/** Picks the source of a run's artifacts: this machine, if it has any of them and no hub is named, else the hub. */
export async function runsOf(hub: { url?: string; token?: string }, runId: string): Promise<StoredArtifacts> {
  const here = hub.url === undefined && hub.token === undefined ? await storedHere(runId) : undefined
  return here ?? connect(hub).runs
}

/** Finds an artifact by its name (of several the last) or its id. Throws `not_found`. */
function named(artifacts: readonly ListedArtifact[], name: string, runId: string): ListedArtifact {
  const found =
    artifacts.findLast((artifact) => artifact.name === name) ??
    artifacts.find(({ artifact_id }) => artifact_id === name)
  if (found) return found
  throw new ErrandError('not_found', `Run "${runId}" has no artifact "${name}".`, {
    hint: `List its artifacts with: errand runs artifacts ${runId}`,
  })
}

/**
 * Fetches an artifact into a file, or to standard output if there is none. The file is replaced only by the whole
 * artifact. Throws `output_damaged`.
 */
export async function fetchArtifact(
  runs: Pick<StoredArtifacts, 'artifact'>,
  runId: string,
  { artifact_id, name, sha256 }: Artifact,
  file: string | undefined,
  isReported = false,
): Promise<void> {
  const bytes = Readable.fromWeb((await runs.artifact(runId, artifact_id)) as never)
  if (file === undefined || file === '-') {
    await pipeline(bytes, process.stdout, { end: false }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
    })
    return
  }
  const target = resolve(file)
  const part = `${target}.${process.pid}.part`
  await makeFolder(dirname(target))
  try {
    const found = createHash('sha256')
    const hashed = async function* (pieces: AsyncIterable<Uint8Array>) {
      for await (const piece of pieces) {
        found.update(piece)
        yield piece
      }
    }
    await pipeline(bytes, hashed, createWriteStream(part, { flags: 'wx' }))
    if (found.digest('hex') !== sha256)
      throw new ErrandError(
        'output_damaged',
        `The received bytes of ${name} differ from those that the run stored.`,
        {
          hint: 'Try again.',
        },
      )
    await rename(part, target)
  } finally {
    await rm(part, { force: true })
  }
  if (isReported) process.stdout.write(`${file}\n`)
}
