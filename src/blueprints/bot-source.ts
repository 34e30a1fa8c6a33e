import type { BotServeArgs, BotSource, PulledImage } from '../contract/bots/bot.ts'
import { deploymentModes, MAX_CODE_BYTES, type StartBot } from '../contract/bots/bot-api.ts'
import { ErrandError } from '../contract/errors.ts'
import { DEFAULT_HOST, type Workflow } from '../contract/workflow.ts'

type Mode = (typeof deploymentModes)[number]

/** Fields of each mode; those in `says` select it. */
const fields: Readonly<Record<Mode, { says: readonly Field[]; more: readonly Field[] }>> = {
  simple: { says: ['code', 'files'], more: ['entrypoint', 'requirements', 'language', 'base_image'] },
  custom: { says: ['upload', 'git_url'], more: ['git_ref', 'git_auth', 'dockerfile'] },
  image: { says: ['docker_image'], more: ['registry_auth'] },
}
/** The request for a bot, after an archive in base64 has become an upload. */
export type BotRequest = Omit<StartBot, 'archive' | 'data'>

type Field = Exclude<keyof BotRequest & string, 'bot_id'>

const needs: Readonly<Record<Mode, string>> = {
  simple: '"code" (one source text) or "files" (several, by path)',
  custom: 'an "archive" (base64), an "upload" or a "git_url"',
  image: '"docker_image"',
}

/** Returns the source of a bot from the fields of its mode. Throws `invalid_argument`. */
export function botSource(request: BotRequest): BotSource {
  const mode = modeOf(request)
  for (const other of deploymentModes.filter((each) => each !== mode)) {
    const stray = [...fields[other].says, ...fields[other].more].find((field) => request[field] !== undefined)
    if (stray !== undefined)
      throw wrong(
        `"${stray}" is for the mode ${other}, but this bot has the mode ${mode}.`,
        `Remove it, or use "deployment_mode": "${other}".`,
      )
  }
  if (mode === 'simple') return simple(request)
  if (mode === 'custom') return custom(request)
  const { docker_image, registry_auth } = request
  if (docker_image === undefined) throw missing(mode)
  return {
    mode: 'image',
    image: docker_image,
    ...(registry_auth && {
      registry_auth: { username: registry_auth.username, password_secret: SOURCE_PASSWORD },
    }),
  }
}

function modeOf(request: BotRequest): Mode {
  const { deployment_mode: requestedMode } = request
  const mode = deploymentModes.find((each) => each === requestedMode)
  if (mode !== undefined) return mode
  const list = deploymentModes.join(', ')
  if (requestedMode !== undefined)
    throw wrong(`"${requestedMode}" is not a deployment mode.`, `Use one of ${list}.`)
  const meant = deploymentModes.filter((each) =>
    fields[each].says.some((field) => request[field] !== undefined),
  )
  if (meant.length === 1) return meant[0]!
  throw wrong(
    meant.length === 0
      ? 'The bot has no source.'
      : `The bot has sources for ${meant.length} modes: ${meant.join(', ')}.`,
    `Give one of: ${Object.values(needs).join('; ')}.`,
  )
}

function simple({ code, files, entrypoint, requirements = [], language, base_image }: BotRequest): BotSource {
  if (code !== undefined && files !== undefined)
    throw wrong('The bot has both "code" and "files".', 'Put all source texts into "files".')
  const name = entrypoint ?? (language === 'node' ? 'bot.js' : 'bot.py')
  const texts = files ?? (code === undefined ? undefined : { [name]: code })
  if (texts === undefined) throw missing('simple')
  const paths = Object.keys(texts)
  const bad = paths.find(
    (path) => !/^(?!\/|[A-Za-z]:)[^\\\p{Cc}]+$/u.test(path) || path.split('/').includes('..'),
  )
  if (bad !== undefined)
    throw wrong(
      `The path ${JSON.stringify(bad)} is not inside the bot's folder.`,
      'Write it as bot.py or lib/texts.py.',
    )
  if (paths.length === 0) throw wrong('The bot has no files.', 'Put at least one source text into "files".')
  const run = entrypoint ?? (paths.length === 1 ? paths[0]! : undefined)
  if (run === undefined)
    throw wrong(
      `The bot has ${paths.length} files and no entrypoint.`,
      `Name the file to run with "entrypoint": ${listed(paths)}.`,
    )
  if (!Object.hasOwn(texts, run))
    throw wrong(`The entrypoint "${run}" is not among the files.`, `The files are: ${listed(paths)}.`)
  const bytes = Buffer.byteLength(JSON.stringify(texts))
  if (bytes > MAX_CODE_BYTES)
    throw new ErrandError(
      'body_too_large',
      `The source texts have ${bytes} bytes; the maximum for a simple bot is ${MAX_CODE_BYTES} bytes (1 MiB).`,
      { hint: 'Put them into an archive with a Dockerfile: errand bot start ID --custom FOLDER' },
    )
  return {
    mode: 'simple',
    files: texts,
    entrypoint: run,
    requirements: lines(requirements),
    ...(language && { language }),
    ...(base_image && { base_image }),
  }
}

function custom({ upload, git_url, git_ref, git_auth, dockerfile = 'Dockerfile' }: BotRequest): BotSource {
  if (upload !== undefined && git_url !== undefined)
    throw wrong('The bot has both an archive and a "git_url".', 'Give only one of them.')
  // Checked before it is stored anywhere, because a source is visible.
  if (git_url !== undefined && /^[^/]*:\/\/[^/]*@/.test(git_url))
    throw wrong(
      '"git_url" contains a user name or a password.',
      'Give them separately, so that they stay secret: --git-token, or "git_auth": {"username": "...", "password": "..."}.',
    )
  if (git_auth?.username?.includes(':'))
    throw wrong('The user name in "git_auth" contains a ":".', 'The text after the ":" may be the password.')
  if (git_url !== undefined) {
    const { username } = git_auth ?? {}
    const auth = git_auth && { git_auth: { ...(username && { username }), password_secret: SOURCE_PASSWORD } }
    return { mode: 'git', url: git_url, ...(git_ref && { ref: git_ref }), dockerfile, ...auth }
  }
  if (upload === undefined) throw missing('custom')
  const stray = git_ref === undefined ? git_auth && 'git_auth' : 'git_ref'
  if (stray !== undefined) throw wrong(`"${stray}" is only for "git_url".`, 'Remove it.')
  return { mode: 'archive', upload, dockerfile }
}

/** Splits a list of requirements that may be given as the text of a requirements.txt. */
const lines = (value: string | readonly string[]): string[] =>
  typeof value === 'string'
    ? value
        .split(/\r?\n/)
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('#'))
    : [...value]

const listed = (paths: readonly string[]): string =>
  paths
    .slice(0, 10)
    .map((path) => `"${path}"`)
    .join(', ') + (paths.length > 10 ? ` and ${paths.length - 10} more` : '')

const wrong = (message: string, hint: string) => new ErrandError('invalid_argument', message, { hint })
const missing = (mode: Mode) =>
  wrong(`A bot of the mode ${mode} needs ${needs[mode]}.`, 'See docs/bots.md for each mode.')

/**
 * Returns the workflow for a later start of a bot, once the image that a password was given for has been fetched:
 * without the password, with the image as it is on the runner that has it.
 */
export function withPulledImage(
  workflow: Workflow,
  { attempt_id, runner }: Required<Omit<PulledImage, 'username'>>,
): Workflow {
  const [step] = workflow.steps
  const { args, secrets } = step!
  const { source, data } = args as BotServeArgs
  const host = workflow.inventory?.hosts[DEFAULT_HOST] ?? {}
  // The bot's owner may have named a runner; that one stays.
  const here = { attempt_id, ...((host.runner === undefined || host.runner === data?.runner) && { runner }) }
  const had = withoutPassword(source, here)
  if (had === undefined) return workflow
  const others = Object.entries(secrets ?? {}).filter(([name]) => name !== SOURCE_PASSWORD)
  return {
    ...workflow,
    inventory: { ...workflow.inventory, hosts: { [DEFAULT_HOST]: { ...host, runner } } },
    steps: [
      {
        ...step!,
        args: { ...args, source: had },
        secrets: Object.fromEntries(others),
      },
    ],
  }
}

function withoutPassword(
  source: BotSource,
  here: Pick<PulledImage, 'attempt_id' | 'runner'>,
): BotSource | undefined {
  if (source.mode === 'image' && source.registry_auth !== undefined) {
    const { image, registry_auth } = source
    return { mode: 'image', image, pulled: { username: registry_auth.username, ...here } }
  }
  if (source.mode !== 'git' || source.git_auth === undefined) return undefined
  const { git_auth, ...repository } = source
  const { username } = git_auth
  return { ...repository, built: { ...(username !== undefined && { username }), ...here } }
}

/** Returns the runner to which the source of a bot is bound. */
export function boundTo(source: BotSource | undefined): string | undefined {
  if (source?.mode === 'image') return source.pulled?.runner
  return source?.mode === 'git' ? source.built?.runner : undefined
}

/** The secret of a bot's run with the password for the origin of its image: a registry, or a Git server. */
export const SOURCE_PASSWORD = 'BOT_REGISTRY_PASSWORD'
