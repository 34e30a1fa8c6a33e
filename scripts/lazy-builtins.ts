import type { Plugin } from 'esbuild'

/** Modules of Node that take a millisecond or more to load, and that most commands never call. */
const heavy = ['node:crypto', 'node:fs/promises', 'node:module', 'node:readline', 'node:timers/promises']

/**
 * Loads these modules in our own files only when one of their functions is first called. Other exports of such a module
 * (classes, constants) have no replacement here, and the build fails if a file imports them.
 */
export const lazyBuiltins = (sourceFolder: string): Plugin => ({
  name: 'lazy-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, importer }) =>
      heavy.includes(path) && importer.startsWith(sourceFolder) ? { path, namespace: 'lazy' } : undefined,
    )
    onLoad({ filter: /.*/, namespace: 'lazy' }, async ({ path }) => {
      const functions = Object.entries(await import(path)).filter(
        ([name, value]) => typeof value === 'function' && /^[a-z]/.test(name) && name !== 'default',
      )
      const standIns = functions.map(
        ([name]) => `export const ${name} = (...args) => require('${path}').${name}(...args)`,
      )
      return { contents: standIns.join('\n'), loader: 'js' }
    })
  },
})
