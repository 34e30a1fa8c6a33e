import { networkInterfaces } from 'node:os'

/**
 * Reports whether a URL's host stands for all addresses of a machine: a server can listen there, but nobody can connect
 * there.
 */
export const isAnyAddress = (hostname: string): boolean => /^(?:0\.0\.0\.0|\[?::\]?)$/.test(hostname)

/** Returns the URL of a server on this machine for clients on the same machine. */
export const shownHere = (url: string): string => withHost(url, () => '127.0.0.1')

/** Returns the URL of a server on this machine for other machines: with its first network address, if it has one. */
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
