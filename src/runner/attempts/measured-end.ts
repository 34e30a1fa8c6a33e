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

/** The output of an attempt, wherever it stands: what of it may leave this machine. */
export interface AttemptOutput {
  readonly scanner?: ExportScanner
  readonly values?: OutputValues
  /** Undefined: nothing stands on standard error. */
  readonly lastErrorLine: string | undefined
  /** Whether something of it stands for a secret. */
  readonly hidden: boolean
  length(stream: StreamName): number
  /** As `HeldAttempt.next`. */
  next(known: Readonly<Record<StreamName, number>>): OutputPart | undefined
  read(stream: StreamName, offset: number, max: number): Promise<Buffer>
  /** True: there is more than when it was last looked. */
  refresh(): boolean
  /** Nothing more counts; the lengths are final once `finish` has resolved. */
  freeze(): void
  /** Undefined where who takes it knows how long it is. */
  finish(): Promise<Record<StreamName, StreamEnd> | undefined>
  /** After `finish`. Puts a copy there, or the same file but where it is to be `copied`. The file must not be there. */
  placeAt(stream: StreamName, target: string, copied?: true): Promise<void>
  close(): void
}

export interface Measurable {
  spec: AttemptSpec
  ending: Ending
  journal: AttemptJournal
  /** Frozen. */
  output: AttemptOutput
  /** Exported by what carried it out. */
  exports: Record<string, string> | undefined
  /** The folder that a relative `output_path` is seen from; undefined: who takes the output puts it there. */
  outputDir: string | undefined
  /** The folder that its box let it write to; undefined: it had none. */
  within: string | undefined
  masker: Masker | undefined
  /** This process lets go of it, and a later one measures it again. */
  closed(): boolean
  /** The last words of the end's message; asked where the attempt came to its end by itself. */
  lastWords(): Promise<string | undefined>
}

/** The end of an attempt by what it has put out, which is put where the step asks for it. */
export async function measuredEnd(attempt: Measurable): Promise<AttemptEnd> {
  const { spec, ending, journal, output, exports, outputDir, within, masker, closed, lastWords } = attempt
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
      // Why it failed is worth more.
      if (!failed) fail(`Its output could not be put into ${folder}: ${(error as Error).message}.`)
    }
  }
  const cause = unread ?? journal.cause
  const { scanner, values, hidden } = output
  const end = attemptEnd({ ending, cause, scanner, values, exports, masker, hidden })
  const words = cause === undefined ? await lastWords() : undefined
  if (words !== undefined) end.message = `${end.message ?? ''}\n${words}`.trimStart()
  return { ...end, streams, output_files, last_error_line: output.lastErrorLine }
}

const STREAMS: readonly StreamName[] = ['stdout', 'stderr']

/** `args.output_path` of the step, seen from `outputDir`; undefined where it has none, or it is not for this machine. */
function outputFolder(spec: AttemptSpec, outputDir: string | undefined): string | undefined {
  const path = spec.args.output_path
  if (outputDir === undefined || typeof path !== 'string' || path === '') return undefined
  return resolve(outputDir, path)
}

/** Puts the output into the folder, and answers where. May be done again. */
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
    // A folder elsewhere that is one of the workspace by a link of the machine's owner: what is below is anybody's.
    if (within !== undefined && isBelow(realPath(folder, '/'), realPath(within, '/')))
      throw new LeadsOut('a link leads into the workspace')
    await makeFolder(folder)
    await place(folder)
  }
  return placed
}
