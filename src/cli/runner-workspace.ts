import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export const workspaceOption = {
  workspace: {
    type: 'string',
    value: 'DIR',
    help: 'Where work happens (default: WORKSPACE_DIR, ~/.errand/workspace)',
  },
} as const

/** The folder of a runner's attempts and workspaces, and of what it was given when it was enrolled. */
export const runnerWorkspace = (
  given: string | undefined,
  { workspaceDir }: { workspaceDir?: string },
): string => resolve(given ?? workspaceDir ?? join(homedir(), '.errand', 'workspace'))
