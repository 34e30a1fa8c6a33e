import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ErrandError } from '../../contract/errors.ts'
import type { Agent, AgentInstall, AgentLaunch, SessionRequest } from '../agent.ts'
import { signInApart } from '../failure.ts'
import { findProgram } from '../install/find-program.ts'
import { OPENAI_URL, openaiWith } from '../model-services.ts'
import { readSignIn, textOf } from '../sign-in.ts'
import { CodexProtocol } from './protocol.ts'

const install: AgentInstall = {
  package: '@openai/codex',
  version: '0.169.0',
  program: 'codex',
  natives: ({ platform, arch }) => {
    const processor = arch === 'arm64' ? 'aarch64' : 'x86_64'
    const system = platform === 'linux' ? 'unknown-linux-musl' : 'apple-darwin'
    return [`@openai/codex-${platform}-${arch}/vendor/${processor}-${system}/bin/codex`]
  },
  megabytes: 410,
}

/** Folder of the agent below a session's home; `SIGN_IN` is the file of a sign-in in it. */
const OWN_FOLDER = 'codex'
const SIGN_IN = 'auth.json'

/** Name of Errand's own provider, since the settings of codex's built-in providers cannot be changed. */
const PROVIDER = 'errand'
const KEYS = ['OPENAI_API_KEY', 'CODEX_API_KEY']

/** Retries, limited so that a service that only fails ends the turn within half a minute. */
const REQUEST_RETRIES = 4
const STREAM_RETRIES = 3

/**
 * Returns a setting that marks the folder as untrusted. Without it, codex trusts the folder and starts the MCP servers
 * in its configuration. TOML writes texts like JSON.
 */
const untrusted = (cwd: string): string => `projects={${JSON.stringify(cwd)}={trust_level="untrusted"}}`

/** Uses codex's app server (JSON-RPC over lines), since `codex exec` has no approvals, text deltas and diffs. */
export const codex: Agent = {
  name: 'codex',
  title: 'Codex',
  install,
  keys: KEYS,
  services: [openaiWith(KEYS)],
  settings: ['OPENAI_BASE_URL', 'CODEX_HOME'],
  folders: ['CODEX_HOME'],
  signIn: (env) => [{ from: join(usersFolder(env), SIGN_IN), to: join(OWN_FOLDER, SIGN_IN) }],
  // A ChatGPT login is for another service and changes with each use.
  keyOfSignIn(env) {
    const key = textOf(readSignIn(join(usersFolder(env), SIGN_IN))?.OPENAI_API_KEY)
    return key === undefined ? undefined : { OPENAI_API_KEY: key }
  },
  usage: 'each_call',
  locate: (places) => findProgram({ name: 'codex', install, ...places }),
  launch: codexLaunch,
  modelAt: (url, key) => ({ env: { OPENAI_BASE_URL: `${url}/v1`, OPENAI_API_KEY: key }, model: 'gpt-5.5' }),
  protocol: (request, port) => new CodexProtocol(request, port),
}

export function codexLaunch(request: SessionRequest): AgentLaunch {
  const { env } = request
  const key = KEYS.find((name) => (env[name] ?? '') !== '')
  const ownHome = join(request.home, OWN_FOLDER)
  const own = key !== undefined || request.apart === true
  const settings: [name: string, value: string | number | boolean][] = [
    ['analytics.enabled', false],
    ['check_for_update_on_startup', false],
    // This tool is off by default; without it there are no plans.
    ['tools.update_plan.enabled', true],
  ]
  if (key !== undefined) {
    settings.push(
      ['model_provider', PROVIDER],
      [`model_providers.${PROVIDER}.name`, 'Errand'],
      [`model_providers.${PROVIDER}.base_url`, (env.OPENAI_BASE_URL || OPENAI_URL).replace(/\/+$/, '')],
      [`model_providers.${PROVIDER}.wire_api`, 'responses'],
      [`model_providers.${PROVIDER}.env_key`, key],
      [`model_providers.${PROVIDER}.request_max_retries`, REQUEST_RETRIES],
      [`model_providers.${PROVIDER}.stream_max_retries`, STREAM_RETRIES],
    )
  } else {
    checkSignIn(request)
    if (env.OPENAI_BASE_URL) settings.push(['openai_base_url', env.OPENAI_BASE_URL])
  }
  return {
    args: [
      'app-server',
      '--disable',
      'plugins',
      // Hooks run commands without asking.
      ...(request.ask === 'allow' ? [] : ['--disable', 'hooks', '-c', untrusted(request.cwd)]),
      // TOML and JSON write these values in the same way.
      ...settings.flatMap(([name, value]) => ['-c', `${name}=${JSON.stringify(value)}`]),
      ...request.extra_args,
    ],
    // With a key it needs nothing from the user's folder; without one it uses the login there.
    env: own ? { CODEX_HOME: ownHome } : {},
    // The file creates the folder, without which codex refuses to start.
    files: own
      ? [{ path: join(ownHome, 'config.toml'), content: '# Settings are given by argument.\n' }]
      : [],
  }
}

function checkSignIn({ env, apart, home }: SessionRequest): void {
  const folder = apart ? join(home, OWN_FOLDER) : usersFolder(env)
  if (existsSync(join(folder, SIGN_IN))) return
  const key = 'Set OPENAI_API_KEY for the step'
  throw new ErrandError(
    'invalid_argument',
    apart ? 'Codex has no key for its model in its sandbox.' : 'Codex has no key for its model and no login.',
    {
      hint: apart
        ? signInApart(`${key}, or log in with "codex login --with-api-key"`)
        : `${key}, or run "codex login" on the runner.`,
    },
  )
}

const usersFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  env.CODEX_HOME || join(env.HOME || homedir(), '.codex')
