import type { Scope } from '../limits/scope.ts'
import type { Box } from '../sandbox/box.ts'
import { type AttemptSecrets, discardSecrets } from '../secrets/attempt-secrets.ts'
import { type AttemptFacts, type AttemptFolder, outlivesBoot } from './attempt-folder.ts'
import { FileOutput } from './file-output.ts'
import { AttemptJournal, JournalFile } from './journal.ts'
import { markOf } from './launch.ts'

/** An attempt that an earlier process of this runner has left, or that is just made. */
export interface Left {
  folder: AttemptFolder
  facts: AttemptFacts
  /** Undefined where there were none, or they are gone. */
  secrets: AttemptSecrets | undefined
}

/** The files of an attempt's folder, opened. */
export interface AttemptFiles extends Left {
  /** The scope that the attempt's processes run in. */
  cage: Scope
  /** The box that they stand in; undefined: none. */
  box: Box | undefined
  /** `NAME=value` in the environment of its processes. */
  mark: string
  /** The variables that the attempt's processes get of the step. */
  env: Readonly<Record<string, string>>
  journal: AttemptJournal
  output: FileOutput
}

/**
 * Takes in what the folder holds; starts nothing. `mend`: called before the output of one that has not ended is opened. Throws
 * where a file cannot be opened.
 */
export function openFiles(
  { folder, facts, secrets }: Left,
  { cage, box, mend }: Pick<AttemptFiles, 'cage' | 'box'> & { mend(): void },
): AttemptFiles {
  const file = new JournalFile(folder.file('reports'), { durable: outlivesBoot(facts) })
  const journal = new AttemptJournal(file)
  const mark = markOf(facts.key)
  const onMore = () => journal.changed()
  try {
    const end = journal.list.at(-1)
    if (end?.type !== 'ended') {
      const { timeout_ms } = facts.spec
      // The cause comes before the signals it has led to, whoever sent them.
      if (timeout_ms !== undefined && folder.isOvertime())
        journal.keepCause({ type: 'timeout', after_ms: timeout_ms })
      mend()
    }
    const output = new FileOutput({ folder, facts, masker: secrets?.outputMasker, onMore })
    if (end?.type === 'ended') output.found(end, facts.masked === true)
    return {
      ...{ folder, facts, secrets, cage, box, mark, journal, output },
      get env() {
        return { ...facts.spec.env, ...secrets?.env }
      },
    }
  } catch (error) {
    file.close()
    throw error
  }
}

/** Its end is kept: nothing of its secrets is needed any more. */
export function dropSecrets({ folder, facts, output }: AttemptFiles): void {
  if (!facts.masked) return
  discardSecrets(folder.path)
  output.dropSecrets()
}
