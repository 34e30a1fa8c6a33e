import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { Masker } from '../masking/masker.ts'
import { attemptEnd } from './attempt-end.ts'
import type { JournaledReports } from './journaled-reports.ts'
import type { Cause, Ending } from './outcome.ts'
import { outputFolder, placeOutputFiles } from './output-files.ts'
import type { ProcessOutput } from './process-output.ts'

export interface Measurable {
  spec: AttemptSpec
  ending: Ending
  journal: JournaledReports
  /** Frozen. */
  output: ProcessOutput
  /** What a relative `output_path` is seen from. */
  outputDir: string
  masker: Masker | undefined
  /** This process lets go of it, and a later one measures it again. */
  closed(): boolean
  /** What its message ends with; asked where it came to its end by itself. */
  lastWords(): Promise<string | undefined>
}

/** The end of an attempt by what it has put out, which is put where the step asks for it. */
export async function measuredEnd(attempt: Measurable): Promise<AttemptEnd> {
  const { spec, ending, journal, output, outputDir, masker, closed, lastWords } = attempt
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
  const ran = ending.type !== 'start_failed' && ending.type !== 'action_failed'
  if (folder !== undefined && ran && !closed()) {
    try {
      output_files = await placeOutputFiles(spec, folder, output)
    } catch (error) {
      fail(`Its output could not be put into ${folder}: ${(error as Error).message}.`)
    }
  }
  const cause = unread ?? journal.cause
  const { scanner, values, hidden } = output
  const end = attemptEnd({ ending, cause, scanner, values, masker, hidden })
  const words = cause === undefined ? await lastWords() : undefined
  if (words !== undefined) end.message = `${end.message ?? ''}\n${words}`.trimStart()
  return { ...end, streams, output_files }
}
