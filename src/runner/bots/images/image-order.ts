import type { BotSource } from '../../../contract/bots/bot.ts'
import type { Reason } from '../../../contract/status.ts'
import type { Progress } from '../../../docker/docker-answers.ts'
import type { DockerEngine, OwnLabels } from '../../docker/docker-engine.ts'

/**
 * Describes how to get from a bot's source to an image at the engine: the input and output of `prepareImage` in
 * `prepare-image.ts`.
 */

export interface ImageOrder {
  source: BotSource
  engine: DockerEngine
  /** Labels; `owner` is tenant and owner as one text: only images of this owner, and those of nobody, may be used. */
  labels: OwnLabels & { attempt: string; bot: string; owner: string }
  /** Ignores what earlier builds have left, and looks up the base image again. */
  refresh?: boolean
  /** Environment of the runner: BASE_IMAGE and the ERRAND_… settings of builds and pulls. */
  env: Readonly<Record<string, string | undefined>>
  /** Persistent folder: keys and locks of the images of this runner. */
  stateDir: string
  /** Empty folder for unpacking, cloning and packing; the caller deletes it in any case. */
  tempDir: string
  /** Returns the value of one of the step's secrets; undefined if it has none of that name. */
  secret(variable: string): string | undefined
  /** Returns the file of an upload from the hub, with its hash verified. It exists until `prepareImage` has ended. */
  upload(sha256: string, signal: AbortSignal): Promise<string>
  /**
   * Resolves when it may build, until it is disposed of: a machine limits the builds at once, and owners take turns.
   */
  buildTurn(signal: AbortSignal): Promise<Disposable>
  /** Called before each long part; a repetition has no effect. */
  phase(phase: 'building' | 'pulling'): void
  /** Receives lines for a person, as they come, not masked: the caller limits and masks them. */
  progress: Progress
  /** Abort signal: everything ends, nothing is left, and `signal.reason` is thrown. */
  signal: AbortSignal
}

export interface PreparedImage {
  /** Image id, `sha256:…`. */
  id: string
  /** Name for people: the name that was pulled, or what it was built from. */
  title: string
}

export type PrepareImage = (order: ImageOrder) => Promise<PreparedImage>

/** Reasons of failure if the image is not available. */
export type ImageReason = Extract<
  Reason,
  'source_refused' | 'build_failed' | 'pull_failed' | 'invalid_argument'
>

/**
 * Maps the codes of `prepareImage`'s `ErrandError`s to reasons; a failed build has the last lines in its message. Any
 * other code is a problem of the machine.
 */
export const imageReasons: Readonly<Record<string, ImageReason>> = {
  source_refused: 'source_refused',
  invalid_argument: 'invalid_argument',
  build_failed: 'build_failed',
  pull_refused: 'pull_failed',
  not_found: 'pull_failed',
}
