import { JsonLines } from '../../platform/json-lines.ts'
import type { Scope } from '../limits/scope.ts'
import type { Box } from '../sandbox/box.ts'
import { type AttemptSecrets, discardSecrets } from '../secrets/attempt-secrets.ts'
import { type AttemptFacts, type AttemptFolder, outlivesBoot } from './attempt-folder.ts'
import { FileOutput } from './file-output.ts'
import { AttemptJournal, type JournalEntry } from './journal.ts'
import { markOf } from './launch.ts'

/** Describes an attempt that is new, or that an earlier process of this runner left. */
export interface Left {
  folder: AttemptFolder
  facts: AttemptFacts
  /** Secrets of the attempt; undefined if it had none, or if they are gone. */
  secrets: AttemptSecrets | undefined
}

/** Holds the open files of an attempt's folder. */
export interface AttemptFiles extends Left {
  /** Scope that the attempt's processes run in. */
  cage: Scope
  /** Box that the processes run in; undefined if there is none. */
  box: Box | undefined
  /** `NAME=value` in the environment of its processes. */
  mark: string
  /** Environment variables that the step gives to the attempt's processes. */
  env: Readonly<Record<string, string>>
  journal: AttemptJournal
  output: FileOutput
}

/**
 * Opens the files of an attempt's folder; starts nothing. Calls `mend` before it opens the output of an attempt that
 * has not ended. Throws if a file cannot be opened.
 */
export function openFiles(
  { folder, facts, secrets }: Left,
  { cage, box, repair }: Pick<AttemptFiles, 'cage' | 'box'> & { repair(): void },
): AttemptFiles {
  const file = new JsonLines<JournalEntry>(folder.file('reports'), { durable: outlivesBoot(facts) })
  const journal = new AttemptJournal(file)
  const mark = markOf(facts.key)
  const onMore = () => journal.changed()
  try {
    const end = journal.list.at(-1)
    if (end?.type !== 'ended') {
      const { timeout_ms } = facts.spec
      // The cause is recorded before the signals it leads to, whoever sent them.
      if (timeout_ms !== undefined && folder.isOvertime())
        journal.keepCause({ type: 'timeout', after_ms: timeout_ms })
      repair()
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

/** Deletes the secrets of an attempt whose end is stored: they are not needed any more. */
export function dropSecrets({ folder, facts, output }: AttemptFiles): void {
  if (!facts.masked) return
  discardSecrets(folder.path)
  output.dropSecrets()
}
