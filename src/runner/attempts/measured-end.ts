import { rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { AttemptEnd, AttemptSpec, StreamEnd, StreamName } from '../../contract/attempt.ts'
import { outputFileName } from '../../contract/ids.ts'
import { LeadsOut, withFolderBeneath } from '../../platform/beneath.ts'
import { isBelow, makeFolder, realPath } from '../../platform/files.ts'
import type { Masker } from '../masking/masker.ts'
import type { OutputPart } from '../ports.ts'
import type { ExportScanner } from './exported-variables.ts'
import type { AttemptJournal } from './journal.ts'
import type { OutputValues } from './output-values.ts'
import { attemptEnd, type Cause, type Ending } from './verdict.ts'

/** Describes the output of an attempt, wherever it is stored: the part that may leave this machine. */
export interface AttemptOutput {
  readonly scanner?: ExportScanner
  readonly values?: OutputValues
  /** Last line of standard error; undefined if it is empty. */
  readonly lastErrorLine: string | undefined
  /** Tells whether any of it replaces a secret. */
  readonly hidden: boolean
  length(stream: StreamName): number
  /** Returns the next part, like `HeldAttempt.next`. */
  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined
  read(stream: StreamName, offset: number, max: number): Promise<Buffer>
  /** Reports whether there is more than at the last check. */
  refresh(): boolean
  /** Stops counting; the lengths are final once `finish` has resolved. */
  freeze(): void
  /** Finishes the output; resolves to undefined if the receiver knows its length. */
  finish(): Promise<Record<StreamName, StreamEnd> | undefined>
  /**
   * Puts the file there after `finish`, as a copy if `copied` is set; otherwise it may be the same file. The target
   * must not exist.
   */
  placeAt(stream: StreamName, target: string, copied?: true): Promise<void>
  close(): void
}

export interface Measurable {
  spec: AttemptSpec
  ending: Ending
  journal: AttemptJournal
  /** Output, already frozen. */
  output: AttemptOutput
  /** Variables exported by whatever ran it. */
  exports: Record<string, string> | undefined
  /** Folder that a relative `output_path` starts from; if undefined, the receiver of the output puts it there. */
  outputDir: string | undefined
  /** Folder that its box let it write to; undefined if it had no box. */
  within: string | undefined
  masker: Masker | undefined
  /** Reports whether this process leaves the attempt; a later one measures it again. */
  closed(): boolean
  /** Returns the last part of the end's message; called if the attempt ended by itself. */
  finalMessage(): Promise<string | undefined>
}

/** Measures the end of an attempt from its output, and puts the output where the step requests it. */
export async function measuredEnd(attempt: Measurable): Promise<AttemptEnd> {
  const { spec, ending, journal, output, exports, outputDir, within, masker, closed, finalMessage } = attempt
  let unread: Cause | undefined
  const fail = (message: string) => {
    unread ??= journal.cause ?? { type: 'failed', reason: 'output_failed', message }
  }
  let streams: AttemptEnd['streams']
  try {
    streams = await output.finish()
  } catch (error) {
    fail(`Its output could not be read: ${(error as Error).message}.`)
  }
  let output_files: AttemptEnd['output_files']
  const folder = outputFolder(spec, outputDir)
  const failed = ending.type === 'action_failed'
  const ran = ending.type !== 'start_failed' && (!failed || ending.ran === true)
  if (folder !== undefined && ran && !closed()) {
    try {
      output_files = await placeOutputFiles(spec, folder, output, within)
    } catch (error) {
      // The reason for the failure is worth more.
      if (!failed) fail(`Its output could not be written to ${folder}: ${(error as Error).message}.`)
    }
  }
  const cause = unread ?? journal.cause
  const { scanner, values, hidden } = output
  const end = attemptEnd({ ending, cause, scanner, values, exports, masker, hidden })
  const words = cause === undefined ? await finalMessage() : undefined
  if (words !== undefined) end.message = `${end.message ?? ''}\n${words}`.trimStart()
  return { ...end, streams, output_files, last_error_line: output.lastErrorLine }
}

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/**
 * Resolves `args.output_path` against `outputDir`; returns undefined if there is none, or if it is not for this
 * machine.
 */
function outputFolder(spec: AttemptSpec, outputDir: string | undefined): string | undefined {
  const path = spec.args.output_path
  if (outputDir === undefined || typeof path !== 'string' || path === '') return undefined
  return resolve(outputDir, path)
}

/** Puts the output into the folder, and returns its location. May be repeated. */
async function placeOutputFiles(
  spec: AttemptSpec,
  folder: string,
  output: AttemptOutput,
  within: string | undefined,
): Promise<Record<StreamName, string>> {
  const placed = { stdout: '', stderr: '' }
  const place = async (at: string, own?: true) => {
    for (const stream of STREAMS) {
      const name = outputFileName(spec, stream)
      await rm(join(at, name), { force: true })
      await output.placeAt(stream, join(at, name), own)
      placed[stream] = join(folder, name)
    }
  }
  if (within !== undefined && isBelow(folder, within))
    await withFolderBeneath(within, folder, (at) => place(at, true))
  else {
    // By its path the folder is outside, but a link leads into the workspace, where any program may have written.
    if (within !== undefined && isBelow(realPath(folder, '/'), realPath(within, '/')))
      throw new LeadsOut('a link leads into the workspace')
    await makeFolder(folder)
    await place(folder)
  }
  return placed
}
