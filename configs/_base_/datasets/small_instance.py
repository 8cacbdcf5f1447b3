# Boxes and masks on small images, in COCO's layout; tools/new_config.py inserts your dataset.
_base_ = ['small_detection.py']

# the first level is finer than in the detector of boxes; with whole images instead of crops, the
# mask AP on nuclei was lower (docs/own_data_measured.md)
fitted = dict(least=128, pixels=0, least_crop=128)

train_pipeline, test_pipeline = (
    [dict(x, with_mask=True) if x['type'] == 'LoadAnnotations' else x for x in steps]
    for steps in (_base_.train_pipeline, _base_.test_pipeline)
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
