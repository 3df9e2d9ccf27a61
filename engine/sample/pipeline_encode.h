/* The prompt encoder of a pipeline: plans of the text encoders, and the encodings made so far. */
#ifndef TL_SAMPLE_PIPELINE_ENCODE_H
#define TL_SAMPLE_PIPELINE_ENCODE_H

struct tl_prompt_encoder;

void tl_prompt_encoder_destroy(struct tl_prompt_encoder **encoder);

#endif
