import { createReadStream, existsSync } from 'node:fs'
import { copyFile, mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { RunId, splitAttemptId } from '../../contract/ids.ts'
import type { ListedArtifact } from '../../contract/run-api.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import { JsonLines, readJsonLines } from '../../platform/json-lines.ts'
import type { ArtifactSink } from './artifact-keeper.ts'

const RETENTION_DAYS = 90
const INDEX = 'artifacts.jsonl'

/**
 * Stores the artifacts of runs without a hub: files under their own names, `<dir>/<run id>/<attempt number>/<name>`.
 */
export class FolderArtifacts implements ArtifactSink {
  readonly #dir: string
  #swept = false

  constructor(dir: string) {
    this.#dir = dir
  }

  async put(
    { run_id, attempt_id, step, host }: AttemptSpec,
    artifact: Artifact,
    file: string,
  ): Promise<void> {
    await this.#sweepOnce()
    const folder = join(this.#dir, RunId.parse(run_id))
    const target = join(folder, String(splitAttemptId(attempt_id).number), artifact.name)
    const listed: ListedArtifact = { ...artifact, step, host, attempt_id }
    try {
      await mkdir(dirname(target), { recursive: true, mode: 0o700 })
      const part = join(folder, `.${artifact.artifact_id}.part`)
      await copyFile(file, part)
      await rename(part, target)
      const index = new JsonLines<ListedArtifact>(join(folder, INDEX))
      try {
        index.append(listed)
      } finally {
        index.close()
      }
    } catch (error) {
      const { message } = error as Error
      // Nobody comes to make room: the step continues without it.
      throw new ErrandError('quota_exceeded', `${target} could not be written: ${message}.`, { cause: error })
    }
  }

  /**
   * Lists the artifacts in the order in which each attempt stored them; undefined if there is nothing of such a run
   * here.
   */
  async list(runId: string): Promise<ListedArtifact[] | undefined> {
    const id = RunId.safeParse(runId)
    if (!id.success) return undefined
    const index = join(this.#dir, id.data, INDEX)
    if (!existsSync(index)) return undefined
    const { entries } = readJsonLines(index, 0, (line) => JSON.parse(line) as ListedArtifact)
    // One that was stored again after a crash is listed twice.
    return [...new Map(entries.map((each) => [each.artifact_id, each])).values()]
  }

  async get(runId: string, artifactId: string): Promise<Readable> {
    const found = (await this.list(runId))?.find(({ artifact_id }) => artifact_id === artifactId)
    if (found === undefined)
      throw new ErrandError('not_found', `Run ${runId} has no artifact ${artifactId} on this machine.`)
    return createReadStream(join(this.#dir, runId, artifactId.split('.')[0]!, found.name))
  }

  /** Deletes the artifacts of old runs, as a hub does. */
  async #sweepOnce(): Promise<void> {
    if (this.#swept) return
    this.#swept = true
    const oldestMs = Date.now() - RETENTION_DAYS * 86_400_000
    for (const name of await readdir(this.#dir).catch(() => [])) {
      const found = await stat(join(this.#dir, name)).catch(() => undefined)
      if (found && found.mtimeMs < oldestMs) await rm(join(this.#dir, name), { recursive: true, force: true })
    }
  }
}
