import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import type { JournalEntry } from '../attempts/journal.ts'

/** Of a session that is over, deletes all that its agent said and was told; what it reported stays. */
export function dropConversation(folder: string): void {
  for (const name of readdirSync(folder))
    if (/^(process\.\d+|temp|files-before)$/.test(name))
      rmSync(join(folder, name), { recursive: true, force: true })
  const journal = join(folder, 'reports')
  const reports = readFileSync(journal, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && (JSON.parse(line) as JournalEntry).type === 'report')
  try {
    writeFileAtomic(journal, `${reports.join('\n')}\n`, { mode: 0o600, durable: false })
  } catch {
    // No space: it goes with its folder.
  }
}
