import { join } from 'node:path'
import { BotServices } from './bot-services.ts'

export interface MachineBotsOptions {
  /** The runner's folder. */
  folder: string
  env: NodeJS.ProcessEnv
  hub: { url: string; token: string }
}

/** The bots of a runner's machine. What only a bot needs is loaded with the first one. */
export function machineBots({ folder, env, hub }: MachineBotsOptions): BotServices {
  return new BotServices({
    stateDir: join(folder, 'bots'),
    env,
    connect: async (env) => (await import('../containers/docker/connect.ts')).connectDocker(env),
    prepareImage: async (order) => (await import('./images/prepare-image.ts')).prepareImage(order),
    fetchUpload: async (...upload) => (await import('./fetch-upload.ts')).fetchUpload(hub, ...upload),
    sendData: async (...data) => (await import('./fetch-upload.ts')).sendData(hub, ...data),
  })
}
