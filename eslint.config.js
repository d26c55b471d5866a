// neostandard for the style, and the directions of docs/architecture.md: imports point one way.

import neostandard from 'neostandard'

/** @param {string} folder @param {string[]} forbidden folders that it does not know @param {string} why */
const knowsNothingOf = (folder, forbidden, why) => ({
  files: [`src/${folder}/**`],
  rules: {
    'no-restricted-imports': ['error', {
      patterns: [{ group: forbidden.map(name => `**/${name}/**`), message: why }]
    }]
  }
})

export default [
  ...neostandard({ ts: true, ignores: ['.tap/**', 'dist/**'] }),
  {
    files: ['**/*.ts'],
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': 'error'
    }
  },
  knowsNothingOf('maintenance', ['control', 'serve', 'cli', 'platform'], 'maintenance/ is the idea itself: it knows no process and no service'),
  knowsNothingOf('serve', ['control', 'cli', 'platform'], 'the data plane knows the switch, and not who sets it'),
  knowsNothingOf('control', ['serve', 'cli'], 'the control plane does not load what the workers run'),
  knowsNothingOf('cli', ['serve', 'maintenance'], 'commands know the protocol of the control socket, and nothing of the service'),
  knowsNothingOf('platform', ['control', 'serve', 'maintenance', 'cli'], 'platform/ knows nothing of the service'),
  {
    files: ['src/**'],
    ignores: ['src/main.ts', 'src/cli/myserverctl.ts', 'src/serve/worker.ts', 'src/platform/libc.ts'],
    rules: { 'no-restricted-globals': ['error', { name: 'process', message: 'main.ts alone touches the process: have it passed in' }] }
  }
]
