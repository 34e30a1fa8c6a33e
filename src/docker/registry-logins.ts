import { readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { jsonOf } from '../platform/text.ts'
import type { DockerEnv, RegistryLogin } from './docker-client.ts'
import { registryOf } from './pull.ts'

/** The fields that are read of the file that `docker login` writes. */
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

/** Docker Hub has several names. */
const DOCKER_HUB = ['docker.io', 'index.docker.io', 'registry-1.docker.io']

/** Returns the host of a key: `https://registry.example.com/v1/` and `registry.example.com` are the same. */
function hostOf(key: string): string {
  const host = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '')
  return DOCKER_HUB.includes(host) ? 'docker.io' : host
}

const entryOf = <T>(all: Readonly<Record<string, T>> | undefined, host: string): T | undefined =>
  Object.entries(all ?? {}).find(([key]) => hostOf(key) === host)?.[1]

/**
 * Returns a user's login for the registry of an image, as `docker login` has stored it in `config.json` (in
 * DOCKER_CONFIG, or else in `.docker` of the home folder). If there is none, `missing` says why, because a public
 * image needs none. Credential helper programs are not run.
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
      missing: code === 'ENOENT' ? `${file} is not there: ${again}` : `${file} cannot be read: ${code}`,
    }
  }
  const read = LoginFile.safeParse(jsonOf(text))
  if (!read.success) return { missing: `${file} is not as Docker writes it: ${again}` }
  const { auths, credsStore, credHelpers } = read.data
  const helper = entryOf(credHelpers, host) ?? credsStore
  const { auth = '', username, password, identitytoken } = entryOf(auths, host) ?? {}
  if (identitytoken) return { login: { identitytoken } }
  if (username && password) return { login: { username, password } }
  const [, name, secret] = /^([^:]+):(.+)$/s.exec(Buffer.from(auth, 'base64').toString()) ?? []
  if (name !== undefined) return { login: { username: name, password: secret!.replace(/\0+$/, '') } }
  if (helper !== undefined)
    return {
      missing: `${file} leaves the login of ${host} to docker-credential-${helper}, which the hub does not ask: write an entry "${host}" into its auths`,
    }
  return { missing: `${file} has no login for ${host}: ${again}` }
}
