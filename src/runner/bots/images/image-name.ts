import { ErrandError } from '../../../contract/errors.ts'

/** Holds the parts of an image name. */
export interface ImageName {
  /** Full name as engines list it, with a tag or a digest, so that none can take it for the beginning of an id. */
  text: string
  /** `text` without tag and digest. */
  repository: string
  /** Host, with the port if one was given; docker.io if no host was. */
  registry: string
}

const NAME_CHARACTERS = 255
const HOST =
  /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i
const PATH = /^[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})$/
const DOCKER_HUB = ['docker.io', 'index.docker.io']

/** First part of the local names of bots' images; nobody may request such a name. */
export const PRIVATE_PART = 'errand-bot'

/** Parses an image reference. Throws `invalid_argument`, also for ids and names of bots' own images. */
export function imageName(text: string): ImageName {
  const at = text.indexOf('@')
  const digest = at < 0 ? undefined : text.slice(at + 1)
  const named = at < 0 ? text : text.slice(0, at)
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  const tag = colon < 0 ? undefined : named.slice(colon + 1)
  const { host, path } = split(colon < 0 ? named : named.slice(0, colon))
  const fault = faultOf({ host, path, tag, digest })
  if (fault !== undefined) throw noName(text, fault)
  if (path === PRIVATE_PART || path.startsWith(`${PRIVATE_PART}/`))
    throw noName(text, `"${PRIVATE_PART}" is reserved for the images of other bots`)
  const repository = host === undefined ? path : `${host}/${path}`
  return {
    text: digest === undefined ? `${repository}:${tag ?? 'latest'}` : `${repository}@${digest}`,
    repository,
    registry: host ?? 'docker.io',
  }
}

/**
 * Splits off the host: the first part is one if it cannot be part of a path. Docker Hub is left out, as engines list
 * it.
 */
function split(repository: string): { host?: string; path: string } {
  const slash = repository.indexOf('/')
  const first = repository.slice(0, Math.max(slash, 0))
  const isHost = /[.:A-Z]/.test(first) || first === 'localhost'
  const path = isHost ? repository.slice(slash + 1) : repository
  if (isHost && !DOCKER_HUB.includes(first)) return { host: first, path }
  return { path: path.replace(/^library\/(?=[^/]+$)/, '') }
}

function faultOf(parts: { host?: string; path: string; tag?: string; digest?: string }): string | undefined {
  const { host, path, tag, digest } = parts
  if (host !== undefined && !HOST.test(host)) return 'its registry is not a valid host'
  if (path === 'sha256' || path === 'sha512' || (host === undefined && /^[0-9a-f]{64}$/.test(path)))
    return 'image ids are not accepted'
  if (!PATH.test(path))
    return 'its path may contain only lower-case letters, digits and single ".", "_", "-", "/"'
  if ((host?.length ?? 0) + path.length >= NAME_CHARACTERS)
    return `it is longer than ${NAME_CHARACTERS} characters`
  if (tag !== undefined && !TAG.test(tag)) return 'its tag may contain only letters, digits, ".", "_" and "-"'
  if (digest !== undefined && !DIGEST.test(digest))
    return 'its digest is not sha256: followed by 64 hexadecimal digits'
  return undefined
}

function noName(text: string, fault: string): ErrandError {
  const shown = JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
  return new ErrandError('invalid_argument', `${shown} is not a valid image name: ${fault}.`, {
    hint: 'Write it as name:tag or registry.example.com/path/name:tag.',
  })
}

/**
 * Registries of large providers. A registry tells the engine where to fetch tokens and layers, and the engine goes to
 * any address: a user's own registry could make it query this machine's network.
 */
const REGISTRIES = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
  'registry.gitlab.com',
  'registry.k8s.io',
  'registry.access.redhat.com',
  'registry.redhat.io',
  'registry.digitalocean.com',
  'registry.heroku.com',
  'nvcr.io',
  'lscr.io',
  'cr.yandex',
]
/** Matches registries of providers that give each customer a name. */
const CUSTOMERS =
  /^[a-z0-9-]+\.(?:gcr\.io|azurecr\.io|jfrog\.io)$|^[a-z0-9-]+-docker\.pkg\.dev$|^\d{12}\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com$/

export const isPublicRegistry = (host: string): boolean => REGISTRIES.includes(host) || CUSTOMERS.test(host)
