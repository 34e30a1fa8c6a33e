import { mkdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { builtinActionRegistry } from '../actions/registry.ts'
import { agentsFolder } from '../agents/install/native-binary.ts'
import type { SecretSource, StepHost } from '../engine/ports.ts'
import { takePidLock } from '../platform/pid-lock.ts'
import { ArtifactKeeper } from '../runner/artifacts/artifact-keeper.ts'
import { FolderArtifacts } from '../runner/artifacts/folder-artifacts.ts'
import { AttemptsHost } from '../runner/local/attempts-host.ts'
import { openAttempts } from '../runner/open-attempts.ts'
import { openBoxes } from '../runner/open-boxes.ts'
import { openCheckouts } from '../runner/open-checkouts.ts'
import { mountedSecretsDir } from '../runner/secrets/machine-secrets.ts'
import { ownSecrets } from '../runner/secrets/own-secrets.ts'
import { machineAgents } from '../runner/sessions/machine-agents.ts'

/** This machine as the only one for a coding task. */
export interface TaskMachine {
  folder: string
  /** Folder of artifacts: `<run>/<attempt>/<name>`. */
  artifacts: string
  host(secrets: SecretSource): StepHost & { close(): Promise<void> }
  /** Gives the run's checkout back after its end. */
  ended(runId: string): Promise<void>
  close(): Promise<void>
}

/** Opens a machine below `root`. Simultaneous tasks get folders of their own, each with its copies of repositories. */
export async function openTaskMachine(root: string, env: NodeJS.ProcessEnv): Promise<TaskMachine> {
  const { folder, release } = takeFolder(resolve(root))
  try {
    const state = join(folder, 'agents')
    mkdirSync(state, { recursive: true, mode: 0o700 })
    const hidden = [resolve(root)]
    const boxes = await openBoxes({ env, stateDir: join(folder, 'sandbox'), hidden })
    const { checkouts, platformStep } = openCheckouts(join(folder, 'checkouts'), env, () => undefined, {
      allowed: [resolve(root)],
      own: [folder],
    })
    const artifacts = join(root, 'artifacts')
    return {
      folder,
      artifacts,
      host: (secrets) =>
        new AttemptsHost({
          root: join(folder, 'attempts'),
          secrets,
          open: async (dir) =>
            openAttempts({
              ...{ dir, env, boxes, checkouts, platformStep },
              artifacts: new ArtifactKeeper(new FolderArtifacts(artifacts)),
              workspaceDir: join(folder, 'runs'),
              registry: builtinActionRegistry,
              agents: machineAgents({ folder: agentsFolder(env), stateDir: state, allowedDirs: [] }),
              ownSecrets: ownSecrets(env),
              mountedSecretsDir: mountedSecretsDir(env),
            }),
        }),
      ended: (runId) => checkouts.release(runId),
      async close() {
        await checkouts.close()
        await boxes.close()
        release()
      },
    }
  } catch (error) {
    release()
    throw error
  }
}

/** Returns the first folder that no task works in. */
function takeFolder(root: string): { folder: string; release(): void } {
  for (let number = 1; ; number++) {
    const folder = join(root, String(number))
    const lock = takePidLock(join(folder, 'lock'))
    if ('release' in lock) return { folder, release: lock.release }
  }
}
