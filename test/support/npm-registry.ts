import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface TestPackage {
  name: string
  version: string
  optionalDependencies?: Record<string, string>
  /** File contents by path. Every file is executable. */
  files: Record<string, string>
}

function tarballOf({ files, ...manifest }: TestPackage): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'errand-package-'))
  try {
    for (const [path, text] of Object.entries({ ...files, 'package.json': JSON.stringify(manifest) })) {
      const file = join(folder, 'package', path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, text, { mode: 0o755 })
    }
    execFileSync('tar', ['-czf', 'all.tgz', 'package'], { cwd: folder })
    return readFileSync(join(folder, 'all.tgz'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Starts a registry on loopback that npm itself can use. */
export async function startNpmRegistry(packages: readonly TestPackage[]) {
  const tarballs = packages.map(tarballOf)
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1)
    const tarball = /^tarballs\/(\d+)\.tgz$/.exec(path)?.[1]
    if (tarball !== undefined) return response.end(tarballs[Number(tarball)])
    const versions = packages.flatMap(({ files: _, ...manifest }, index) => {
      if (manifest.name !== path) return []
      const integrity = `sha512-${createHash('sha512').update(tarballs[index]!).digest('base64')}`
      const dist = { tarball: `${url()}tarballs/${index}.tgz`, integrity }
      return [[manifest.version, { ...manifest, dist }] as const]
    })
    const latest = versions.at(-1)?.[0]
    response.writeHead(latest === undefined ? 404 : 200, { 'content-type': 'application/json' })
    const found = { name: path, 'dist-tags': { latest }, versions: Object.fromEntries(versions) }
    return response.end(JSON.stringify(latest === undefined ? { error: 'Not found' } : found))
  })
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: url(),
    async close(): Promise<void> {
      server.closeAllConnections()
      if (server.listening) await new Promise((resolve) => server.close(resolve))
    },
  }
}
