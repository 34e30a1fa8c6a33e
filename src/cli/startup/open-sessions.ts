import { join } from 'node:path'
import { builtinActionRegistry } from '../../actions/registry.ts'
import { agentsFolder } from '../../agents/install/native-binary.ts'
import { ArtifactKeeper } from '../../runner/artifacts/artifact-keeper.ts'
import { FolderArtifacts } from '../../runner/artifacts/folder-artifacts.ts'
import { openAttempts } from '../../runner/open-attempts.ts'
import { openBoxes } from '../../runner/open-boxes.ts'
import type { Attempts } from '../../runner/ports.ts'
import type { Boxes } from '../../runner/sandbox/boxes.ts'
import { mountedSecretsDir } from '../../runner/secrets/machine-secrets.ts'
import { ownSecrets } from '../../runner/secrets/own-secrets.ts'
import { machineAgents } from '../../runner/sessions/machine-agents.ts'

let boxes: Promise<Boxes> | undefined

/**
 * Returns the boxes of commands that run steps here, opened once, with their files in `folder`. Throws
 * `invalid_argument`.
 */
export function sharedBoxes(folder: string, hidden: readonly string[]): Promise<Boxes> {
  boxes ??= openBoxes({ env: process.env, stateDir: join(folder, 'sandbox'), hidden })
  return boxes
}

/** Opens the store below `folder` for the artifacts of steps. */
export const openArtifacts = (folder: string): ArtifactKeeper =>
  new ArtifactKeeper(new FolderArtifacts(join(folder, 'artifacts')))

/**
 * Opens the attempts in `dir`, whose agents may work in any folder; `folder` holds their files. No box contains the
 * paths in `hidden`.
 */
export async function openSessions(
  dir: string,
  folder: string,
  hidden: readonly string[],
): Promise<Attempts> {
  return openAttempts({
    dir,
    boxes: await sharedBoxes(folder, hidden),
    artifacts: openArtifacts(folder),
    workspaceDir: join(folder, 'workspaces'),
    workspace: 'cwd',
    registry: builtinActionRegistry,
    agents: machineAgents({ folder: agentsFolder(process.env), stateDir: folder, allowedDirs: 'any' }),
    ownSecrets: ownSecrets(process.env),
    mountedSecretsDir: mountedSecretsDir(process.env),
  })
}
