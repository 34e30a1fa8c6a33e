import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { jsonOf } from '../platform/text.ts'
import type { DockerEnv, RegistryLogin } from './docker-client.ts'
import { registryOf } from './pull.ts'

/** Describes the fields that Errand reads from the file that `docker login` writes. */
const LoginFile = z.object({
  auths: z
    .record(
      z.string(),
      z.object({
        auth: z.string().optional(),
        username: z.string().optional(),
        password: z.string().optional(),
        identitytoken: z.string().optional(),
      }),
    )
    .optional(),
  credsStore: z.string().optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
})

/** Host names of Docker Hub. */
const DOCKER_HUB = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/** Returns the host of a login entry: `https://registry.example.com/v1/` and `registry.example.com` have the same. */
function hostOf(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return DOCKER_HUB.includes(host) ? 'docker.io' : host
}

const entryOf = <T>(all: Readonly<Record<string, T>> | undefined, host: string): T | undefined =>
  Object.entries(all ?? {}).find(([key]) => hostOf(key) === host)?.[1]

/**
 * Returns the login for the registry of an image that `docker login` stored in `config.json` (in DOCKER_CONFIG, or
 * `.docker` in the home folder). If there is none, `missing` says why; a public image needs no login. Does not call
 * credential helpers.
 */
export async function registryLogin(
  image: string,
  env: DockerEnv,
): Promise<{ login: RegistryLogin; missing?: undefined } | { login?: undefined; missing: string }> {
  const file = join(env.DOCKER_CONFIG || join(env.HOME || homedir(), '.docker'), 'config.json')
  const host = registryOf(image)
  const again = `log in with: docker login ${host}`
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return {
      missing: code === 'ENOENT' ? `${file} does not exist: ${again}` : `${file} cannot be read: ${code}`,
    }
  }
  const read = LoginFile.safeParse(jsonOf(text))
  if (!read.success) return { missing: `${file} is not a valid Docker configuration: ${again}` }
  const { auths, credsStore, credHelpers } = read.data
  const helper = entryOf(credHelpers, host) ?? credsStore
  const { auth = '', username, password, identitytoken } = entryOf(auths, host) ?? {}
  if (identitytoken) return { login: { identitytoken } }
  if (username && password) return { login: { username, password } }
  const [, name, secret] = /^([^:]+):(.+)$/s.exec(Buffer.from(auth, 'base64').toString()) ?? []
  if (name !== undefined) return { login: { username: name, password: secret!.replace(/\0+$/, '') } }
  if (helper !== undefined)
    return {
      missing: `${file} leaves the login for ${host} to docker-credential-${helper}, which the hub does not call: add an entry "${host}" to its auths`,
    }
  return { missing: `${file} has no login for ${host}: ${again}` }
}
