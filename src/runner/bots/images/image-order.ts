import type { BotSource } from '../../../contract/bots/bot.ts'
import type { Reason } from '../../../contract/status.ts'
import type { Progress } from '../../../docker/docker-answers.ts'
import type { DockerEngine, OwnLabels } from '../../docker/docker-engine.ts'

/** From a bot's source to an image that the engine has: what `prepareImage` in `prepare-image.ts` takes and gives. */

export interface ImageOrder {
  source: BotSource
  engine: DockerEngine
  /** `owner` is tenant and owner as one text: only images of this owner, and those of nobody, may be used. */
  labels: OwnLabels & { attempt: string; bot: string; owner: string }
  /** Nothing that earlier builds have left is used, and the base image is looked up anew. */
  refresh?: boolean
  /** The runner's environment: BASE_IMAGE and the ERRAND_… settings of builds and pulls. */
  env: Readonly<Record<string, string | undefined>>
  /** Folder that lasts: keys and locks of the images of this runner. */
  stateDir: string
  /** An empty folder for what is unpacked, cloned and packed; the caller deletes it, whatever happens. */
  tempDir: string
  /** Value of one of the step's secrets; undefined where it has none of that name. */
  secret(variable: string): string | undefined
  /** File of an upload of the hub, its hash verified. Lives until `prepareImage` has ended. */
  upload(sha256: string, signal: AbortSignal): Promise<string>
  /** Resolves when it may build: a machine builds so many images at once, and owners take turns. Until it is disposed of. */
  buildTurn(signal: AbortSignal): Promise<Disposable>
  /** Before each long part; the same one twice is once. */
  phase(phase: 'building' | 'pulling'): void
  /** Lines for a person, as they come, not masked: the caller bounds and masks them. */
  progress: Progress
  /** Aborted: everything ends, nothing is left, and `signal.reason` is thrown. */
  signal: AbortSignal
}

export interface PreparedImage {
  /** `sha256:…` */
  id: string
  /** Its name for people: the name that was pulled, or what it was built from. */
  title: string
}

export type PrepareImage = (order: ImageOrder) => Promise<PreparedImage>

/** Reasons that an attempt fails with where its image cannot be had. */
export type ImageReason = Extract<
  Reason,
  'source_refused' | 'build_failed' | 'pull_failed' | 'invalid_argument'
>

/**
 * `ErrandError`s of `prepareImage` by their code; that of a failed build has the last lines in its message. Any other
 * code is the machine's own trouble.
 */
export const imageReasons: Readonly<Record<string, ImageReason>> = {
  source_refused: 'source_refused',
  invalid_argument: 'invalid_argument',
  build_failed: 'build_failed',
  pull_refused: 'pull_failed',
  not_found: 'pull_failed',
}
