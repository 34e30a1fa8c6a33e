import { mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { AgentSubject } from '../agent-subjects.ts'
import { type Flavour, type ForgeStandIn, startForge } from '../forge/forge-stand-in.ts'
import type { Files, Right } from '../forge/forge-state.ts'
import { type ModelServerOptions, startModelServer } from '../model-server/server.ts'
import { type Programs, type ProgramsOptions, startPrograms } from '../programs.ts'

export const MODEL_KEY = 'sk-ant-api03-the-machines-own-key-0123456789'

export interface TaskPlaceOptions extends Pick<ModelServerOptions, 'script'> {
  flavour?: Flavour
  files?: Files
  /** The agents for which the runner knows the address of their models. */
  subjects?: readonly AgentSubject[]
  programs?: ProgramsOptions
  /** Lets the hub create tokens as an App; it has no token itself. */
  app?: true
  /** Lets the forge call the hub, and watches the repository with this configuration. */
  hook?: object
  /** Address of forge, model and hub; default loopback. */
  host?: string
  /** The right of the token that the hub receives. */
  right?: Right
  /** The server that the token is set for; default the forge. */
  tokenHost?: string
}

/** Starts a forge with a repository, a scripted model, and a hub with a runner, each as a separate program. */
export async function taskPlace(t: Pick<TestContext, 'after'>, options: TaskPlaceOptions) {
  const forge = await startForge({ flavour: options.flavour ?? 'github', address: options.host })
  t.after(() => forge.stop())
  const repository = forge.makeRepository('shop/web', {
    files: options.files ?? { 'README.md': 'The shop.\n', Makefile: 'test:\n\t@test -e made.txt\n' },
    isPrivate: true,
    rights: { errand: options.right ?? 'write' },
  })
  const token = forge.makeToken('errand')
  const server = await startModelServer({ script: options.script, keys: [MODEL_KEY], host: options.host })
  t.after(() => server.stop())
  const { subjects = [], programs: more = {} } = options
  const app = options.app && forge.makeApp([repository])
  const configured = {
    ...{ host: forge.host, kind: forge.flavour, api_url: forge.apiUrl },
    ...(app && { app: { id: app.appId, private_key: 'APP_KEY' } }),
    ...(options.hook && { webhook_secret: 'HOOK' }),
  }
  const watched = { name: 'shop/web', url: repository.url, watch: options.hook }
  const config = (app || options.hook) && {
    forges: [configured],
    ...(options.hook && { repos: [watched] }),
  }
  const programs = await startPrograms(t, {
    prepare({ data }) {
      if (config === undefined) return
      mkdirSync(data, { recursive: true })
      writeFileSync(join(data, 'errand.yaml'), JSON.stringify(config))
    },
    ...(options.host !== undefined && { host: options.host }),
    ...more,
    hubEnv: { ERRAND_GIT_ALLOW: forge.url, ...more.hubEnv },
    runnerEnv: {
      OPENAI_BASE_URL: `${server.url}/v1`,
      OPENAI_API_KEY: MODEL_KEY,
      ...Object.assign({}, ...subjects.map((subject) => subject.env(server.url, MODEL_KEY))),
      ERRAND_AGENTS_DIR: process.env.ERRAND_AGENTS_DIR ?? join(homedir(), '.errand', 'agents'),
      ERRAND_GIT_ALLOW: forge.url,
      ...more.runnerEnv,
    },
  })
  if (app) await programs.call('secrets', 'set', `APP_KEY=${app.privateKey}`)
  else await programs.call('secrets', 'set', `GIT_TOKEN=${token}`, '--host', options.tokenHost ?? forge.host)
  const hook = options.hook && {
    url: `${programs.url}/api/hooks/forges/${forge.host}`,
    secret: 'the-secret-of-the-hook',
  }
  if (hook) {
    await programs.call('secrets', 'set', `HOOK=${hook.secret}`)
    repository.hooks.push(hook)
  }
  return { forge, repository, token, app, hook, server, programs }
}

export type TaskPlace = { forge: ForgeStandIn; programs: Programs }
