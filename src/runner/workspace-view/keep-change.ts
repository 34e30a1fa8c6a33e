import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { Keepable } from '../artifacts/artifact-keeper.ts'
import { readChange, reportChange, type ViewedFolder } from './session-view.ts'

/**
 * Stores the change of a session: first a patch of each commit, then the diff; stores nothing if nothing has changed.
 */
export async function keepChange(
  viewed: ViewedFolder,
  keep: (keepable: Keepable) => Promise<Artifact>,
): Promise<void> {
  const { repository, commits } = await reportChange(viewed)
  if (!repository) return
  const diff = await readChange(viewed)
  if (diff === '') return
  for (const index of commits.keys()) {
    const number = index + 1
    const bytes = await readChange(viewed, number)
    await keep({ kind: 'patch', name: `${String(number).padStart(4, '0')}.patch`, bytes })
  }
  await keep({ kind: 'diff', name: 'session.diff', bytes: diff })
}
