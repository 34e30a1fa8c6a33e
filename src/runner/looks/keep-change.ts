import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { Keepable } from '../artifacts/artifact-keeper.ts'
import { type Looked, readChange, tellChange } from './session-look.ts'

/**
 * Stores the change of a session: first a patch of each commit, then the diff; stores nothing if nothing has changed.
 */
export async function keepChange(
  looked: Looked,
  keep: (keepable: Keepable) => Promise<Artifact>,
): Promise<void> {
  const { repository, commits } = await tellChange(looked)
  if (!repository) return
  const diff = await readChange(looked)
  if (diff === '') return
  for (const index of commits.keys()) {
    const number = index + 1
    const bytes = await readChange(looked, number)
    await keep({ kind: 'patch', name: `${String(number).padStart(4, '0')}.patch`, bytes })
  }
  await keep({ kind: 'diff', name: 'session.diff', bytes: diff })
}
