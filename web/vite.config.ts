import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

// Relative paths, so that the files can lie in any folder of any server.
export default defineConfig({
  base: './',
  plugins: [svelte()],
  build: { target: 'es2022', assetsInlineLimit: 0, modulePreload: { polyfill: false }, reportCompressedSize: false },
  worker: { format: 'es' },
  server: { proxy: { '/api': process.env.ENFORCER_WEB ?? 'http://127.0.0.1:4890' } },
});
