/** A node as a diamond: the renderer's own points, cut another way. */

import { NodePointProgram } from 'sigma/rendering'

const FRAGMENT = /* glsl */ `
precision mediump float;

varying vec4 v_color;
varying float v_border;

void main(void) {
  vec2 m = abs(gl_PointCoord - vec2(0.5, 0.5));
  float dist = 0.5 - (m.x + m.y);

  #ifdef PICKING_MODE
  gl_FragColor = dist > v_border ? v_color : vec4(0.0);
  #else
  gl_FragColor = v_color * clamp(dist / v_border, 0.0, 1.0);
  #endif
}
`

export class DiamondProgram extends NodePointProgram {
  override getDefinition() {
    return { ...super.getDefinition(), FRAGMENT_SHADER_SOURCE: FRAGMENT }
  }
}
