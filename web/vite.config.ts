import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vitest/config'

// The page is served by Mooring's own server under a policy that allows nothing inline and nothing
// from elsewhere: no inlined assets, no polyfill snippet in index.html.
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: '../mooring/server/page',
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: { '/api': process.env['MOORING_URL'] ?? 'http://127.0.0.1:8930' },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
})
