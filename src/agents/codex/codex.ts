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

/** Its own folder below the home of a session, and the file in it that a sign-in stands in. */
const OWN_FOLDER = 'codex'
const SIGN_IN = 'auth.json'

/** Under a name of our own, since the settings of codex's built-in providers cannot be changed. */
const PROVIDER = 'errand'
const KEYS = ['OPENAI_API_KEY', 'CODEX_API_KEY']

/** Few enough that a service that only fails ends the turn within half a minute. */
const REQUEST_RETRIES = 4
const STREAM_RETRIES = 3

/** Without, it takes the folder for trusted, and starts the MCP servers of its configuration. TOML writes texts as JSON does. */
const untrusted = (cwd: string): string => `projects={${JSON.stringify(cwd)}={trust_level="untrusted"}}`

/**
 * By its app server (JSON-RPC over lines), not `codex exec`: that one has no approvals, no deltas of texts and no
 * diffs.
 */
export const codex: Agent = {
  name: 'codex',
  title: 'Codex',
  install,
  keys: KEYS,
  services: [openaiWith(KEYS)],
  settings: ['OPENAI_BASE_URL', 'CODEX_HOME'],
  folders: ['CODEX_HOME'],
  signIn: (env) => [{ from: join(usersFolder(env), SIGN_IN), to: join(OWN_FOLDER, SIGN_IN) }],
  // A login with ChatGPT is for another service, and changes with each use.
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
    // Not offered by itself: without, nobody sees a plan.
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
      // They run commands that nobody was asked about.
      ...(request.ask === 'allow' ? [] : ['--disable', 'hooks', '-c', untrusted(request.cwd)]),
      // TOML and JSON write these values alike.
      ...settings.flatMap(([name, value]) => ['-c', `${name}=${JSON.stringify(value)}`]),
      ...request.extra_args,
    ],
    // With a key it needs nothing of the user's; a login stays where it is.
    env: own ? { CODEX_HOME: ownHome } : {},
    // The file is there so that its folder is: codex refuses to start without.
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
    apart
      ? 'Codex has no key for its model in its sandbox.'
      : 'Codex has no key for its model, and nobody is logged in.',
    {
      hint: apart
        ? signInApart(`${key}, or log in with "codex login --with-api-key"`)
        : `${key}, or run "codex login" on the runner.`,
    },
  )
}

const usersFolder = (env: Readonly<Record<string, string | undefined>>): string =>
  env.CODEX_HOME || join(env.HOME || homedir(), '.codex')
