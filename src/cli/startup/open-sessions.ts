import { join } from 'node:path'
import { builtinActionRegistry } from '../../actions/registry.ts'
import { agentsFolder } from '../../agents/install/native-binary.ts'
import { openAttempts } from '../../runner/open-attempts.ts'
import type { Attempts } from '../../runner/ports.ts'
import { mountedSecretsDir } from '../../runner/secrets/machine-secrets.ts'
import { ownSecrets } from '../../runner/secrets/own-secrets.ts'
import { machineAgents } from '../../runner/sessions/machine-agents.ts'

/** Opens the attempts in `dir`, whose agents may work in any folder; `folder` keeps what belongs to them. */
export function openSessions(dir: string, folder: string): Attempts {
  return openAttempts({
    dir,
    workspaceDir: join(folder, 'workspaces'),
    workspace: 'cwd',
    registry: builtinActionRegistry,
    agents: machineAgents({ folder: agentsFolder(process.env), stateDir: folder, allowedDirs: 'any' }),
    ownSecrets: ownSecrets(process.env),
    mountedSecretsDir: mountedSecretsDir(process.env),
  })
}
