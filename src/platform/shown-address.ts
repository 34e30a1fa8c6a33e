import { networkInterfaces } from 'node:os'

/** Whether a host, as a URL has it, stands for all addresses of a machine: one can listen there, and nobody can be told to go there. */
export const isAnyAddress = (hostname: string): boolean => /^(?:0\.0\.0\.0|\[?::\]?)$/.test(hostname)

/** Returns the URL of a server of this machine for who is on the machine too. */
export const shownHere = (url: string): string => withHost(url, () => '127.0.0.1')

/** Returns the URL of a server of this machine as others may reach it: by its first address in a network, where it has one. */
export const shownElsewhere = (url: string, interfaces = networkInterfaces): string =>
  withHost(url, () => {
    const found = Object.values(interfaces())
      .flatMap((all) => all ?? [])
      .find(({ family, internal }) => family === 'IPv4' && !internal)
    return found?.address ?? '127.0.0.1'
  })

function withHost(url: string, host: () => string): string {
  const { hostname, host: written } = new URL(url)
  if (!isAnyAddress(hostname)) return url
  return url.replace(written, written.replace(hostname, host()))
}
